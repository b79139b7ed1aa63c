// SPDX-License-Identifier: Apache-2.0
// Activations of the feed-forward part on the GPU, shapes and formulas as in
// profiler/kernels/activation.hpp: gated ones read [rows, 2 cols] with the gate first. bf16 or
// fp32. Errors as in elementwise.hpp.
#pragma once
#include "profiler/cuda/status.hpp"
#include "strategies/program/op.hpp"

namespace meshplan::cuda {

Status activation_forward(cudaStream_t stream, ActivationType activation, int64_t rows,
                          int64_t cols, DType type, const void* x, void* y);
/// dx (shape of x) from dy [rows, cols] and the x of the forward pass; dx may be x.
Status activation_backward(cudaStream_t stream, ActivationType activation, int64_t rows,
                           int64_t cols, DType type, const void* x, const void* dy, void* dx);

}  // namespace meshplan::cuda
