// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/elementwise.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace meshplan::cpu {
namespace {

constexpr int64_t kGrain = 4096;  // elements; below that a second core costs more than it brings

inline uint32_t rounded_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t even = bits + 0x7FFFU + ((bits >> 16) & 1U);
  const bool nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  return (nan ? (bits | 0x00400000U) : even) & 0xFFFF0000U;
}

}  // namespace

template <class T>
void fill(Workers& workers, int64_t count, T value, T* y) {
  workers.split(count, kGrain,
                [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
}

template <class T>
void copy(Workers& workers, int64_t count, const T* x, T* y) {
  workers.split(count, kGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(y + begin, x + begin, static_cast<size_t>(end - begin) * sizeof(T));
  });
}

template <class T>
void add(Workers& workers, int64_t count, const T* a, const T* b, T* y) {
  workers.split(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = a[i] + b[i];
  });
}

template <class T>
void scale(Workers& workers, int64_t count, T factor, const T* x, T* y) {
  workers.split(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = factor * x[i];
  });
}

template <class T>
void add_bias(Workers& workers, int64_t rows, int64_t cols, const T* x, const T* bias, T* y) {
  workers.split(rows, std::max<int64_t>(1, kGrain / cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < cols; ++c) y[r * cols + c] = x[r * cols + c] + bias[c];
    }
  });
}

template <class T>
void bias_gradient(Workers& workers, int64_t rows, int64_t cols, const T* dy, T* dbias) {
  workers.split(cols, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = begin; c < end; ++c) dbias[c] += dy[r * cols + c];
    }
  });
}

template <class T>
double squared_norm(Workers& workers, int64_t count, const T* x) {
  constexpr int64_t kPieces = 256;
  std::array<double, kPieces> sums{};
  const auto piece_sum = [&](int64_t piece, int) {
    const int64_t begin = count * piece / kPieces;
    const int64_t end = count * (piece + 1) / kPieces;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) {
      sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    sums[static_cast<size_t>(piece)] = sum;
  };
  workers.run(kPieces, piece_sum);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

uint16_t bf16_of(float x) { return static_cast<uint16_t>(rounded_bits(x) >> 16); }
float float_of(uint16_t bf16) { return std::bit_cast<float>(static_cast<uint32_t>(bf16) << 16); }

void to_bf16(int64_t count, const float* x, uint16_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = static_cast<uint16_t>(rounded_bits(x[i]) >> 16);
}

void from_bf16(int64_t count, const uint16_t* x, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = float_of(x[i]);
}

void to_bf16(Workers& workers, int64_t count, const float* x, uint16_t* y) {
  workers.split(count, kGrain,
                [&](int64_t begin, int64_t end) { to_bf16(end - begin, x + begin, y + begin); });
}

void from_bf16(Workers& workers, int64_t count, const uint16_t* x, float* y) {
  workers.split(count, kGrain,
                [&](int64_t begin, int64_t end) { from_bf16(end - begin, x + begin, y + begin); });
}

void round_to_bf16(Workers& workers, int64_t count, const float* x, float* y) {
  workers.split(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = std::bit_cast<float>(rounded_bits(x[i]));
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                  \
  template void fill<T>(Workers&, int64_t, T, T*);                               \
  template void copy<T>(Workers&, int64_t, const T*, T*);                        \
  template void add<T>(Workers&, int64_t, const T*, const T*, T*);               \
  template void scale<T>(Workers&, int64_t, T, const T*, T*);                    \
  template void add_bias<T>(Workers&, int64_t, int64_t, const T*, const T*, T*); \
  template void bias_gradient<T>(Workers&, int64_t, int64_t, const T*, T*);      \
  template double squared_norm<T>(Workers&, int64_t, const T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
