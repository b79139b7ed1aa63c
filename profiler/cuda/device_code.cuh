// SPDX-License-Identifier: Apache-2.0
// What the kernels share: packs of 16 bytes, conversions, sums over a block, choice of the type.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "profiler/cuda/status.hpp"

namespace meshplan::cuda {

using bf16 = __nv_bfloat16;

/// N elements that one thread moves in one access.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

__device__ inline float as_float(float x) { return x; }
__device__ inline float as_float(bf16 x) { return __bfloat162float(x); }
template <class T>
__device__ inline T as(float x) {
  return x;
}
template <>
__device__ inline bf16 as<bf16>(float x) {
  return __float2bfloat16_rn(x);
}

constexpr unsigned kAllLanes = 0xffffffffU;

template <class F>
__device__ inline float warp_reduce(float x, F f) {
  for (int step = 16; step > 0; step /= 2) x = f(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}
__device__ inline float warp_sum(float x) {
  return warp_reduce(x, [](float a, float b) { return a + b; });
}

/// Over the block (a multiple of 32 threads, at most 1024), the result on every thread; the order
/// is fixed. `empty`: value of the operation over nothing.
template <class F>
__device__ inline float block_reduce(float x, float empty, F f) {
  __shared__ float parts[32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  x = warp_reduce(x, f);
  __syncthreads();  // parts of an earlier call have been read
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  x = lane < blockDim.x / 32 ? parts[lane] : empty;
  return warp_reduce(x, f);
}
__device__ inline float block_sum(float x) {
  return block_reduce(x, 0.0F, [](float a, float b) { return a + b; });
}

/// Calls f(T{}) with the type of the elements.
template <class F>
Status with_type(DType type, const char* kernel, const F& f) {
  if (type == DType::fp32) return f(float{});
  if (type == DType::bf16) return f(bf16{});
  return refused_type(kernel, type);
}

inline bool aligned16() { return true; }
template <class... Rest>
bool aligned16(const void* first, Rest... rest) {
  return reinterpret_cast<uintptr_t>(first) % 16 == 0 && aligned16(rest...);
}

/// Blocks of a grid-stride loop over `items` with `threads` each: enough for every GPU's SMs.
inline unsigned grid_for(int64_t items, int threads) {
  const int64_t blocks = (items + threads - 1) / threads;
  return static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, 132 * 16));
}

/// Threads for a row of `packs` accesses: a multiple of 32, about four accesses each.
inline unsigned row_threads(int64_t packs) {
  return static_cast<unsigned>(std::clamp<int64_t>((packs + 127) / 128 * 32, 32, 1024));
}

__device__ inline int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t thread_count() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

}  // namespace meshplan::cuda
