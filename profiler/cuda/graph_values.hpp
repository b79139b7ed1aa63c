// SPDX-License-Identifier: Apache-2.0
// How does the code of a graph's kernels move values of rows, on GPUs and, for tests, on the CPU?
#pragma once
#include <cmath>

#include "profiler/kernels/graph_device.hpp"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#define MESHPLAN_CODE __device__ inline
#define MESHPLAN_UNROLL _Pragma("unroll")
#define MESHPLAN_PREFETCH(address) asm volatile("prefetch.global.L2 [%0];" ::"l"(address))
#else
#include "profiler/kernels/elementwise.hpp"
#define MESHPLAN_CODE inline
#define MESHPLAN_UNROLL
#define MESHPLAN_PREFETCH(address) __builtin_prefetch(address)
#endif

namespace meshplan::graph::code {

/// Values of a row that one thread moves at once, 16 bytes where there are four; rows are of
/// multiples of four values, halves of rows of two.
template <int N>
struct alignas(4 * N) Values {
  float v[N];
};
using Four = Values<4>;
template <int N>
struct alignas(2 * N) Narrow {
  uint16_t v[N];
};
template <int N>
MESHPLAN_CODE Values<N>& values(float* row, int64_t at) {
  return *reinterpret_cast<Values<N>*>(row + at);
}
template <int N>
MESHPLAN_CODE const Values<N>& values(const float* row, int64_t at) {
  return *reinterpret_cast<const Values<N>*>(row + at);
}
MESHPLAN_CODE Four& four(float* row, int64_t i) { return values<4>(row, 4 * i); }
MESHPLAN_CODE const Four& four(const float* row, int64_t i) { return values<4>(row, 4 * i); }
MESHPLAN_CODE Four operator+(const Four& a, const Four& b) {
  return {{a.v[0] + b.v[0], a.v[1] + b.v[1], a.v[2] + b.v[2], a.v[3] + b.v[3]}};
}

MESHPLAN_CODE uint16_t rounded(float x) {
#ifdef __CUDACC__
  return __bfloat16_as_ushort(__float2bfloat16_rn(x));
#else
  return cpu::bf16_of(x);
#endif
}

template <int N>
MESHPLAN_CODE void put_narrow(uint16_t* row, int64_t at, const Values<N>& x) {
  Narrow<N> out;
  for (int k = 0; k < N; ++k) out.v[k] = rounded(x.v[k]);
  *reinterpret_cast<Narrow<N>*>(row + at) = out;
}

/// The last part that begins at `value` or before; parts are few.
MESHPLAN_CODE const DevicePart& part_with(const DeviceParts& table, int64_t DevicePart::*begin,
                                          int64_t value) {
  int64_t at = table.count - 1;
  while (at > 0 && table.parts[at].*begin > value) --at;
  return table.parts[at];
}
MESHPLAN_CODE float* row_of(const ChunkRows& rows, int64_t chunk, int64_t i, int64_t cols) {
  return rows.data + (chunk * rows.slots + i) * cols;
}

}  // namespace meshplan::graph::code
