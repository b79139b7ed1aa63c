// SPDX-License-Identifier: Apache-2.0
// RMSNorm (Zhang and Sennrich 2019, eq. 4) and LayerNorm (Ba et al. 2016, eq. 4) on the CPU.
// x, y, dy, dx [rows, cols]; weight, bias, their gradients [cols]; the forward pass saves what the
// backward pass needs per row: rstd [rows], LayerNorm also mean [rows]. The gradient of the input
// and that of the weights are separate calls, as split pipeline schedules need them.
#pragma once
#include <cstdint>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

/// y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + epsilon).
template <class T>
void rmsnorm_forward(Workers& workers, int64_t rows, int64_t cols, double epsilon, const T* x,
                     const T* weight, T* y, T* rstd);

/// dx (set or added to) = rstd * (g - xhat * mean(g * xhat)), g = dy * weight, xhat = x * rstd.
/// dx may be dy when set.
template <class T>
void rmsnorm_backward_input(Workers& workers, int64_t rows, int64_t cols, const T* x,
                            const T* weight, const T* rstd, const T* dy, Write write, T* dx);

/// dweight += sum over rows of dy * xhat.
template <class T>
void rmsnorm_backward_weight(Workers& workers, int64_t rows, int64_t cols, const T* x,
                             const T* rstd, const T* dy, T* dweight);

/// y = xhat * weight + bias, xhat = (x - mean) * rstd, rstd = 1 / sqrt(variance(x) + epsilon).
template <class T>
void layernorm_forward(Workers& workers, int64_t rows, int64_t cols, double epsilon, const T* x,
                       const T* weight, const T* bias, T* y, T* mean, T* rstd);

/// dx (set or added to) = rstd * (g - mean(g) - xhat * mean(g * xhat)). dx may be dy when set.
template <class T>
void layernorm_backward_input(Workers& workers, int64_t rows, int64_t cols, const T* x,
                              const T* weight, const T* mean, const T* rstd, const T* dy,
                              Write write, T* dx);

/// dweight += sum over rows of dy * xhat, dbias += sum over rows of dy.
template <class T>
void layernorm_backward_weight(Workers& workers, int64_t rows, int64_t cols, const T* x,
                               const T* mean, const T* rstd, const T* dy, T* dweight, T* dbias);

}  // namespace meshplan::cpu
