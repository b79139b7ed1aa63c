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

/// Threads for a row that moves by code::Four, one access each.
inline unsigned four_threads(int64_t cols) {
  return static_cast<unsigned>(std::clamp<int64_t>((cols / 4 + 31) / 32 * 32, 32, 1024));
}
/// A block a row.
inline unsigned row_blocks(int64_t rows) { return static_cast<unsigned>(rows); }

}  // namespace meshplan::cuda
