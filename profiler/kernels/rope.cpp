// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/rope.hpp"

#include <cmath>
#include <numbers>

namespace meshplan::cpu {
namespace {

/// Llama 3.1's stretching of low frequencies (Llama 3 reference code and HF `rope_type: llama3`).
double scaled(double frequency, const RopeScaling& s) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double positions = static_cast<double>(s.original_positions);
  if (wavelength < positions / s.high_frequency_factor) return frequency;
  if (wavelength > positions / s.low_frequency_factor) return frequency / s.factor;
  const double smooth = (positions / wavelength - s.low_frequency_factor) /
                        (s.high_frequency_factor - s.low_frequency_factor);
  return (1 - smooth) * frequency / s.factor + smooth * frequency;
}

}  // namespace

template <class T>
void rope_table(const RopeConfig& config, int64_t positions, T* cosine, T* sine) {
  const int64_t half = config.head_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double exponent = static_cast<double>(2 * i) / static_cast<double>(config.head_dim);
    double exact = std::pow(config.theta, -exponent);
    if (config.scaling) exact = scaled(exact, *config.scaling);
    const T frequency = static_cast<T>(exact);
    for (int64_t p = 0; p < positions; ++p) {
      const T angle = static_cast<T>(p) * frequency;
      cosine[p * half + i] = static_cast<T>(std::cos(static_cast<double>(angle)));
      sine[p * half + i] = static_cast<T>(std::sin(static_cast<double>(angle)));
    }
  }
}

template <class T>
void rope(Workers& workers, Turn turn, int64_t rows, int64_t heads, int64_t head_dim,
          const int32_t* position, const T* cosine, const T* sine, const T* x, int64_t x_row_stride,
          T* y, int64_t y_row_stride) {
  const int64_t half = head_dim / 2;
  const T sign = turn == Turn::forward ? T(1) : T(-1);
  workers.split(rows, 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* c = cosine + position[r] * half;
      const T* s = sine + position[r] * half;
      for (int64_t h = 0; h < heads; ++h) {
        const T* in = x + r * x_row_stride + h * head_dim;
        T* out = y + r * y_row_stride + h * head_dim;
#pragma omp simd
        for (int64_t i = 0; i < half; ++i) {
          const T low = in[i];
          const T high = in[i + half];
          out[i] = low * c[i] - high * (sign * s[i]);
          out[i + half] = high * c[i] + low * (sign * s[i]);
        }
      }
    }
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                              \
  template void rope_table<T>(const RopeConfig&, int64_t, T*, T*);                           \
  template void rope<T>(Workers&, Turn, int64_t, int64_t, int64_t, const int32_t*, const T*, \
                        const T*, const T*, int64_t, T*, int64_t);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
