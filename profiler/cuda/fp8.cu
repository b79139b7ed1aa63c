// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/fp8.hpp"

#include <cuda_fp8.h>

#include "profiler/cuda/device_code.cuh"

namespace meshplan::cuda {
namespace {

constexpr int kFp8Threads = 256;
constexpr int kTurnTile = 64, kTurnRows = 8;

/// Magnitudes are compared as integers: their order is that of the floats.
template <class T>
__global__ void __launch_bounds__(kFp8Threads)
    largest_magnitude_kernel(int64_t count, const T* x, float* largest) {
  float own = 0;
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    own = fmaxf(own, fabsf(as_float(x[i])));
  }
  own = block_reduce(own, 0.0F, [](float a, float b) { return fmaxf(a, b); });
  if (threadIdx.x == 0) atomicMax(reinterpret_cast<int*>(largest), __float_as_int(own));
}

template <class T>
__global__ void __launch_bounds__(kFp8Threads)
    to_fp8_kernel(int64_t count, const T* x, bool e4m3, const float* largest, float* scale,
                  uint8_t* y) {
  const float most = e4m3 ? 448.0F : 57344.0F;
  const float own_scale = *largest > 0 ? *largest / most : 1.0F;
  const auto kind = e4m3 ? __NV_E4M3 : __NV_E5M2;
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    y[i] = __nv_cvt_float_to_fp8(as_float(x[i]) / own_scale, __NV_SATFINITE, kind);
  }
  if (thread_index() == 0) *scale = own_scale;
}

/// A tile through shared memory, a word wider than it is, so that columns fall into other banks.
__global__ void __launch_bounds__(kTurnTile* kTurnRows)
    transpose_bytes_kernel(int64_t rows, int64_t cols, const uint8_t* x, uint8_t* y) {
  __shared__ uint8_t tile[kTurnTile][kTurnTile + 4];
  const int64_t row = static_cast<int64_t>(blockIdx.y) * kTurnTile;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kTurnTile;
  for (int r = threadIdx.y; r < kTurnTile; r += kTurnRows) {
    if (row + r < rows && col + threadIdx.x < cols) {
      tile[r][threadIdx.x] = x[(row + r) * cols + col + threadIdx.x];
    }
  }
  __syncthreads();
  for (int c = threadIdx.y; c < kTurnTile; c += kTurnRows) {
    if (col + c < cols && row + threadIdx.x < rows) {
      y[(col + c) * rows + row + threadIdx.x] = tile[threadIdx.x][c];
    }
  }
}

}  // namespace

Status to_fp8(cudaStream_t stream, int64_t count, DType type, const void* x, cpu::Fp8 format,
              void* y, float* scale) {
  if (count == 0) return Done{};
  return with_type(type, "to_fp8", [&](auto t) -> Status {
    using T = decltype(t);
    float* const largest = scale + 1;
    const unsigned blocks = grid_for(count, kFp8Threads);
    MESHPLAN_CUDA(cudaMemsetAsync(largest, 0, sizeof(float), stream));
    largest_magnitude_kernel<<<blocks, kFp8Threads, 0, stream>>>(count, static_cast<const T*>(x),
                                                                 largest);
    MESHPLAN_CHECK(launched("to_fp8"));
    to_fp8_kernel<<<blocks, kFp8Threads, 0, stream>>>(count, static_cast<const T*>(x),
                                                      format == cpu::Fp8::e4m3, largest, scale,
                                                      static_cast<uint8_t*>(y));
    return launched("to_fp8");
  });
}

Status transpose_bytes(cudaStream_t stream, int64_t rows, int64_t cols, const void* x, void* y) {
  if (rows == 0 || cols == 0) return Done{};
  const int64_t high = (rows + kTurnTile - 1) / kTurnTile;
  const int64_t wide = (cols + kTurnTile - 1) / kTurnTile;
  if (high > 65535) return refused("transpose_bytes", "more than 4 million rows");
  const dim3 grid(static_cast<unsigned>(wide), static_cast<unsigned>(high));
  transpose_bytes_kernel<<<grid, dim3(kTurnTile, kTurnRows), 0, stream>>>(
      rows, cols, static_cast<const uint8_t*>(x), static_cast<uint8_t*>(y));
  return launched("transpose_bytes");
}

}  // namespace meshplan::cuda
