// SPDX-License-Identifier: Apache-2.0
// Activations of the feed-forward part on the CPU. Gated ones (SwiGLU, GEGLU: Shazeer 2020) read a
// fused buffer [rows, 2 cols] with the gate in the first half of each row; plain ones [rows, cols].
// GELU is the tanh form (Hendrycks and Gimpel 2016), which HF calls gelu_new and Megatron uses.
#pragma once
#include <cstdint>

#include "profiler/kernels/elementwise.hpp"
#include "strategies/model/model.hpp"

namespace meshplan::cpu {

/// y [rows, cols] = f(x), or f(gate) * up.
template <class T>
void activation_forward(Workers& workers, ActivationType type, int64_t rows, int64_t cols,
                        const T* x, T* y);

/// dx (shape of x) from dy [rows, cols] and the x of the forward pass; dx may be x.
template <class T>
void activation_backward(Workers& workers, ActivationType type, int64_t rows, int64_t cols,
                         const T* x, const T* dy, T* dx);

}  // namespace meshplan::cpu
