// SPDX-License-Identifier: Apache-2.0
// 8-bit floats of products (Micikevicius et al. 2022, "FP8 formats for deep learning", table 1):
// e4m3 for values and weights, e5m2 for gradients, one scale per tensor. Rounded to the nearest,
// halves to even; beyond the largest number: the largest.
#pragma once
#include <cstdint>

#include "profiler/kernels/workers.hpp"

namespace meshplan::cpu {

enum class Fp8 : uint8_t { e4m3, e5m2 };

constexpr float largest_of(Fp8 format) { return format == Fp8::e4m3 ? 448.0F : 57344.0F; }
uint8_t fp8_of(float x, Fp8 format);
float float_of(uint8_t x, Fp8 format);

/// What the largest magnitude is divided by to be the largest number; 1 for zeros alone.
float fp8_scale(Workers& workers, int64_t count, const float* x, Fp8 format);
/// y = x / scale; and back.
void to_fp8(Workers& workers, int64_t count, const float* x, float scale, Fp8 format, uint8_t* y);
void from_fp8(Workers& workers, int64_t count, const uint8_t* x, float scale, Fp8 format, float* y);

}  // namespace meshplan::cpu
