// SPDX-License-Identifier: Apache-2.0
// Pure memory traffic of the step program on the CPU: sums, scaling, bias and casts to and from
// bf16. Rounding to bf16 is to nearest, ties to even; NaN stays NaN.
#pragma once
#include <cstdint>

#include "profiler/kernels/workers.hpp"

namespace meshplan::cpu {

/// Does a kernel overwrite its output or add to it?
enum class Write : uint8_t { set, add };

template <class T>
void fill(Workers& workers, int64_t count, T value, T* y);
template <class T>
void copy(Workers& workers, int64_t count, const T* x, T* y);
/// y = a + b; y may be a or b.
template <class T>
void add(Workers& workers, int64_t count, const T* a, const T* b, T* y);
/// y = factor * x; y may be x.
template <class T>
void scale(Workers& workers, int64_t count, T factor, const T* x, T* y);

/// y[r, :] = x[r, :] + bias; x, y [rows, cols], y may be x.
template <class T>
void add_bias(Workers& workers, int64_t rows, int64_t cols, const T* x, const T* bias, T* y);
/// dbias[c] += sum over r of dy[r, c]; dy [rows, cols].
template <class T>
void bias_gradient(Workers& workers, int64_t rows, int64_t cols, const T* dy, T* dbias);

/// Sum of squares in double, in 256 pieces whose borders depend on `count` alone.
template <class T>
double squared_norm(Workers& workers, int64_t count, const T* x);

uint16_t bf16_of(float x);
float float_of(uint16_t bf16);
void to_bf16(Workers& workers, int64_t count, const float* x, uint16_t* y);
void from_bf16(Workers& workers, int64_t count, const uint16_t* x, float* y);
/// On the calling thread.
void to_bf16(int64_t count, const float* x, uint16_t* y);
void from_bf16(int64_t count, const uint16_t* x, float* y);
/// y = x rounded to a number that bf16 can hold; y may be x.
void round_to_bf16(Workers& workers, int64_t count, const float* x, float* y);

}  // namespace meshplan::cpu
