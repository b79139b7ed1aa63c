// SPDX-License-Identifier: Apache-2.0
// Pure memory traffic on the GPU: conversions, sums, scaling, bias. bf16 or fp32 each; sums in
// fp32, rounded once to the output. All work on `stream`; elements are counted in 64 bits; pointers
// need the alignment of their type, 16 bytes are faster.
// Error: another type (rule cuda.arguments), or the runtime's for the launch.
#pragma once
#include "profiler/cuda/status.hpp"

namespace meshplan::cuda {

/// y = x in the type of y; y may be x if the types are equal.
Status convert(cudaStream_t stream, int64_t count, DType x_type, const void* x, DType y_type,
               void* y);
/// y = a + b; y may be a or b.
Status add(cudaStream_t stream, int64_t count, DType type, const void* a, const void* b, void* y);
/// y += factor * x in the type of y.
Status accumulate(cudaStream_t stream, int64_t count, float factor, DType x_type, const void* x,
                  DType y_type, void* y);
/// x *= factor.
Status scale(cudaStream_t stream, int64_t count, float factor, DType type, void* x);
/// y[r, :] = x[r, :] + bias; x, y [rows, cols]; y may be x.
Status add_bias(cudaStream_t stream, int64_t rows, int64_t cols, DType type, const void* x,
                const void* bias, void* y);

/// Bytes of workspace of the sums over rows below (and of rmsnorm_backward_weight).
int64_t column_sum_workspace(int64_t rows, int64_t cols);
/// dbias[c] += sum over r of dy[r, c], in an order that depends on the shape alone.
/// `workspace`: column_sum_workspace(rows, cols) bytes.
Status bias_gradient(cudaStream_t stream, int64_t rows, int64_t cols, DType type, const void* dy,
                     DType bias_type, void* dbias, float* workspace);

/// *result = sum of squares, in double and in an order that depends on the count alone; `result`
/// and `workspace` (squared_norm_workspace() bytes) are on the device.
int64_t squared_norm_workspace();
Status squared_norm(cudaStream_t stream, int64_t count, DType type, const void* x, double* result,
                    double* workspace);

}  // namespace meshplan::cuda
