// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of a matrix, two stages: the rows are cut into slices, each block adds up 64
// columns of a slice, then the slices are added in order. The result depends on the shape alone.
#pragma once
#include "profiler/cuda/device_code.cuh"
#include "profiler/cuda/elementwise.hpp"

namespace meshplan::cuda {

constexpr int kSumColumns = 64;  ///< per block: 32 lanes of two
constexpr int kSumWarps = 8;

inline int row_slices(int64_t rows) {
  return static_cast<int>(std::clamp<int64_t>(rows / 128, 1, 32));
}

/// parts[slice, c] = sum over the slice's rows of value(r, c).
template <class F>
__global__ void __launch_bounds__(32 * kSumWarps)
    column_parts_kernel(int64_t rows, int64_t cols, int slices, F value, float* parts) {
  __shared__ float shared[kSumWarps][kSumColumns];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kSumColumns + 2 * threadIdx.x;
  const int64_t begin = rows * blockIdx.y / slices, end = rows * (blockIdx.y + 1) / slices;
  float a = 0, b = 0;
  for (int64_t r = begin + threadIdx.y; r < end; r += kSumWarps) {
    if (column < cols) a += value(r, column);
    if (column + 1 < cols) b += value(r, column + 1);
  }
  shared[threadIdx.y][2 * threadIdx.x] = a;
  shared[threadIdx.y][2 * threadIdx.x + 1] = b;
  __syncthreads();
  const unsigned own = threadIdx.y * 32 + threadIdx.x;
  const int64_t target = static_cast<int64_t>(blockIdx.x) * kSumColumns + own;
  if (own >= kSumColumns || target >= cols) return;
  float sum = 0;
  for (int w = 0; w < kSumWarps; ++w) sum += shared[w][own];
  parts[blockIdx.y * cols + target] = sum;
}

template <class T>
__global__ void column_total_kernel(int64_t cols, int slices, const float* parts, T* out) {
  const int64_t c = thread_index();
  if (c >= cols) return;
  float sum = as_float(out[c]);
  for (int s = 0; s < slices; ++s) sum += parts[s * cols + c];
  out[c] = as<T>(sum);
}

/// out[c] += sum over the rows of value(r, c).
template <class T, class F>
Status column_sum(cudaStream_t stream, const char* name, int64_t rows, int64_t cols, F value,
                  T* out, float* workspace) {
  if (rows == 0 || cols == 0) return Done{};
  const int slices = row_slices(rows);
  const dim3 grid(static_cast<unsigned>((cols + kSumColumns - 1) / kSumColumns),
                  static_cast<unsigned>(slices));
  column_parts_kernel<<<grid, dim3(32, kSumWarps), 0, stream>>>(rows, cols, slices, value,
                                                                workspace);
  MESHPLAN_CHECK(launched(name));
  column_total_kernel<<<static_cast<unsigned>((cols + 255) / 256), 256, 0, stream>>>(
      cols, slices, workspace, out);
  return launched(name);
}

}  // namespace meshplan::cuda
