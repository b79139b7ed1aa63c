// SPDX-License-Identifier: Apache-2.0
// RMSNorm on the GPU (Zhang and Sennrich 2019, eq. 4), alone or fused with the residual sum before
// it. x, y, dy, dx [rows, cols] and weight [cols] in bf16 or fp32; rstd [rows] in fp32; arithmetic
// in fp32. One block per row, cols >= 1. Errors as in elementwise.hpp.
#pragma once
#include "profiler/cuda/elementwise.hpp"
#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cuda {

/// y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + epsilon). With `residual` (may be null):
/// x is taken as x + residual, rounded to the type, and written to `sum`, which may be x or
/// residual.
Status rmsnorm_forward(cudaStream_t stream, int64_t rows, int64_t cols, float epsilon, DType type,
                       const void* x, const void* residual, void* sum, const void* weight, void* y,
                       float* rstd);

/// dx (set or added to) = rstd * (g - xhat * mean(g * xhat)), g = dy * weight, xhat = x * rstd.
/// dx may be dy when set.
Status rmsnorm_backward_input(cudaStream_t stream, int64_t rows, int64_t cols, DType type,
                              const void* x, const void* weight, const float* rstd, const void* dy,
                              cpu::Write write, void* dx);

/// dweight += sum over rows of dy * xhat; `workspace`: column_sum_workspace(rows, cols) bytes.
Status rmsnorm_backward_weight(cudaStream_t stream, int64_t rows, int64_t cols, DType type,
                               const void* x, const float* rstd, const void* dy,
                               DType gradient_type, void* dweight, float* workspace);

}  // namespace meshplan::cuda
