// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/fp8.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>

namespace meshplan::cpu {
namespace {

constexpr int64_t kGrain = 4096;
constexpr int mantissa_of(Fp8 format) { return format == Fp8::e4m3 ? 3 : 2; }
constexpr int bias_of(Fp8 format) { return format == Fp8::e4m3 ? 7 : 15; }

}  // namespace

uint8_t fp8_of(float x, Fp8 format) {
  const int mantissa = mantissa_of(format), bias = bias_of(format);
  const auto sign = static_cast<uint8_t>(std::signbit(x) ? 0x80 : 0);
  const float magnitude = std::min(std::fabs(x), largest_of(format));
  if (!(magnitude > 0)) return sign;
  int exponent = std::max(std::ilogb(magnitude), 1 - bias);
  auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, mantissa - exponent)));
  if (steps == 2 << mantissa) {
    ++exponent;
    steps /= 2;
  }
  const int hidden = 1 << mantissa;
  const int bits = steps < hidden ? steps : ((exponent + bias) << mantissa) | (steps - hidden);
  return static_cast<uint8_t>(sign | bits);
}

float float_of(uint8_t x, Fp8 format) {
  const int mantissa = mantissa_of(format), bias = bias_of(format);
  const int exponent = (x & 0x7f) >> mantissa, fraction = x & ((1 << mantissa) - 1);
  const float steps = static_cast<float>(exponent == 0 ? fraction : fraction + (1 << mantissa));
  const float magnitude = std::ldexp(steps, std::max(exponent, 1) - bias - mantissa);
  return (x & 0x80) != 0 ? -magnitude : magnitude;
}

float fp8_scale(Workers& workers, int64_t count, const float* x, Fp8 format) {
  float largest = 0;
  std::mutex mutex;
  workers.split(count, kGrain, [&](int64_t begin, int64_t end) {
    float own = 0;
    for (int64_t i = begin; i < end; ++i) own = std::max(own, std::fabs(x[i]));
    const std::lock_guard lock(mutex);
    largest = std::max(largest, own);
  });
  return largest > 0 ? largest / largest_of(format) : 1;
}

void to_fp8(Workers& workers, int64_t count, const float* x, float scale, Fp8 format, uint8_t* y) {
  workers.split(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = fp8_of(x[i] / scale, format);
  });
}

void from_fp8(Workers& workers, int64_t count, const uint8_t* x, float scale, Fp8 format,
              float* y) {
  std::array<float, 256> values;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = scale * float_of(static_cast<uint8_t>(i), format);
  }
  workers.split(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = values[x[i]];
  });
}

}  // namespace meshplan::cpu
