// SPDX-License-Identifier: Apache-2.0
// exp and tanh in a form that the compiler turns into vector instructions; for kernel sources only.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace meshplan::cpu {

/// exp(x) to about 2 units in the last place; 0 below -87.3 (so also for -inf), about 3e38
/// above 88.4. x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7, whose
/// remainder (0.35^8 / 8! = 5.6e-9) is below half a unit in the last place. ln 2 in two parts (Cody
/// and Waite).
inline float fast_exp(float x) {
  const float clamped = x < -87.3F ? -87.3F : (x > 88.4F ? 88.4F : x);
  const float n = std::floor(clamped * 1.44269504F + 0.5F);
  float r = clamped - n * 0.693359375F;
  r = r + n * 2.12194440e-4F;
  float p = 1.0F / 5040;
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const float power = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return x < -87.3F ? 0.0F : p * power;
}
inline double fast_exp(double x) { return std::exp(x); }

template <class T>
inline T sigmoid(T x) {
  return T(1) / (T(1) + fast_exp(-x));
}

/// tanh(x) = 2 sigmoid(2x) - 1; absolute error of some 1e-7 near 0, which GELU multiplies by x / 2.
template <class T>
inline T fast_tanh(T x) {
  return T(2) * sigmoid(T(2) * x) - T(1);
}

}  // namespace meshplan::cpu
