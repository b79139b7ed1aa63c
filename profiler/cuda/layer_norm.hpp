// SPDX-License-Identifier: Apache-2.0
// LayerNorm on the GPU (Ba et al. 2016, eq. 4). x, y, dy, dx [rows, cols], weight and bias [cols]
// in bf16 or fp32; mean and rstd [rows] in fp32; arithmetic in fp32. One block per row, cols >= 1.
// Errors as in elementwise.hpp.
#pragma once
#include "profiler/cuda/elementwise.hpp"
#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cuda {

/// y = xhat * weight + bias, xhat = (x - mean) * rstd, rstd = 1 / sqrt(variance(x) + epsilon); y
/// may be x. bias null: 0.
Status layernorm_forward(cudaStream_t stream, int64_t rows, int64_t cols, float epsilon, DType type,
                         const void* x, const void* weight, const void* bias, void* y, float* mean,
                         float* rstd);

/// dx (set or added to) = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * weight. dx may be
/// dy when set.
Status layernorm_backward_input(cudaStream_t stream, int64_t rows, int64_t cols, DType type,
                                const void* x, const void* weight, const float* mean,
                                const float* rstd, const void* dy, cpu::Write write, void* dx);

/// dweight += sum over rows of dy * xhat; `workspace`: column_sum_workspace(rows, cols) bytes. That
/// of the bias is bias_gradient.
Status layernorm_backward_weight(cudaStream_t stream, int64_t rows, int64_t cols, DType type,
                                 const void* x, const float* mean, const float* rstd,
                                 const void* dy, DType gradient_type, void* dweight,
                                 float* workspace);

}  // namespace meshplan::cuda
