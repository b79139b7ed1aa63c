// SPDX-License-Identifier: Apache-2.0
// Operands of 8-bit products on the GPU: rounded with one scale per tensor, and turned, because
// tensor cores before Blackwell take 8-bit operands along the inner dimension only. Formats and
// rounding as in profiler/kernels/fp8.hpp. Errors as in elementwise.hpp.
#pragma once
#include <string>

#include "profiler/cuda/elementwise.hpp"
#include "profiler/kernels/fp8.hpp"

namespace meshplan::cuda {

/// y = x / *scale, *scale = largest magnitude of x over the largest number (1 for zeros). x in bf16
/// or fp32; `scale` on the device, and behind it one more float of workspace.
Status to_fp8(cudaStream_t stream, int64_t count, DType type, const void* x, cpu::Fp8 format,
              void* y, float* scale);

/// y [cols, rows] = x [rows, cols] turned, bytes.
Status transpose_bytes(cudaStream_t stream, int64_t rows, int64_t cols, const void* x, void* y);

}  // namespace meshplan::cuda
