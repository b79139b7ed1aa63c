// SPDX-License-Identifier: Apache-2.0
// A block of threads as the team of profiler/cuda/graph_code.hpp.
#pragma once
#include "profiler/cuda/device_code.cuh"
#include "profiler/cuda/graph_code.hpp"

namespace meshplan::cuda {

struct Block {
  __device__ int64_t rank() const { return threadIdx.x; }
  __device__ int64_t size() const { return blockDim.x; }
  __device__ void wait() const { __syncthreads(); }
  __device__ float sum(float x) const { return block_sum(x); }
  __device__ float most(float x) const {
    return block_reduce(x, -INFINITY, [](float a, float b) { return fmaxf(a, b); });
  }
};

/// A warp of a block, which shares nothing with the others.
constexpr unsigned kWarps = 4;
struct Warp {
  __device__ int64_t rank() const { return threadIdx.x % 32; }
  __device__ int64_t size() const { return 32; }
  __device__ void wait() const { __syncwarp(); }
  __device__ float sum(float x) const { return warp_sum(x); }
  __device__ float most(float x) const {
    return warp_reduce(x, [](float a, float b) { return fmaxf(a, b); });
  }
};
/// The row of this warp.
__device__ inline int64_t warp_row() {
  return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
}
inline unsigned row_warps(int64_t rows) {
  return static_cast<unsigned>((rows + kWarps - 1) / kWarps);
}

/// Threads for a row that moves by code::Four, one access each.
inline unsigned four_threads(int64_t cols) {
  return static_cast<unsigned>(std::clamp<int64_t>((cols / 4 + 31) / 32 * 32, 32, 1024));
}
/// A block a row.
inline unsigned row_blocks(int64_t rows) { return static_cast<unsigned>(rows); }

}  // namespace meshplan::cuda
