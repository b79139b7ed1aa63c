// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/graph_rows.hpp"

#include <algorithm>
#include <cmath>

namespace meshplan::cpu {
namespace {

constexpr int64_t kAhead = 6;        // rows between the prefetch and the read
constexpr int64_t kLineFloats = 16;  // of a cache line
// Into the second cache: the first one waits for fewer lines at a time than a few rows have. Rows
// of 400 values of a table of 160 MB take half the time, of 23 MB three quarters.
constexpr int kCache = 2;

}  // namespace

void prefetch_row(const float* row, int64_t cols) {
  for (int64_t i = 0; i < cols; i += kLineFloats) __builtin_prefetch(row + i, 0, kCache);
}

void gather_rows(const float* const* rows, int64_t count, int64_t cols, const float* shift,
                 float* out) {
  for (int64_t i = 0; i < std::min(kAhead, count); ++i) prefetch_row(rows[i], cols);
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) prefetch_row(rows[i + kAhead], cols);
    const float* row = rows[i];
    float* to = out + i * cols;
    if (shift == nullptr) {
      std::copy_n(row, cols, to);
    } else {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) to[c] = row[c] + shift[c];
    }
  }
}

float dot_product(int64_t cols, const float* a, const float* b) {
  // Four sums, so that no addition waits for the one before.
  const int64_t part = cols / 4;
  float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (int64_t c = 0; c < part; ++c) {
    s0 += a[c] * b[c];
    s1 += a[c + part] * b[c + part];
    s2 += a[c + 2 * part] * b[c + 2 * part];
    s3 += a[c + 3 * part] * b[c + 3 * part];
  }
  for (int64_t c = 4 * part; c < cols; ++c) s0 += a[c] * b[c];
  return (s0 + s1) + (s2 + s3);
}

void add_row(int64_t cols, const float* b, float* a) {
#pragma omp simd
  for (int64_t c = 0; c < cols; ++c) a[c] += b[c];
}

void row_adagrad(int64_t cols, const float* g, float rate, float max_norm, float* row, float* sum) {
  const float total = *sum + dot_product(cols, g, g) / static_cast<float>(cols);
  *sum = total;
  const float step = rate / (std::sqrt(total) + 1e-10F);
#pragma omp simd
  for (int64_t c = 0; c < cols; ++c) row[c] -= step * g[c];
  if (max_norm <= 0) return;
  const float norm = std::sqrt(dot_product(cols, row, row));
  if (norm <= max_norm) return;
  const float scale = max_norm / norm;
#pragma omp simd
  for (int64_t c = 0; c < cols; ++c) row[c] *= scale;
}

void value_adagrad(int64_t count, const float* g, float rate, float* value, float* sum) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    sum[i] += g[i] * g[i];
    value[i] -= rate * g[i] / (std::sqrt(sum[i]) + 1e-10F);
  }
}

double add_n3(int64_t cols, bool complex_halves, float factor, const float* row, float* g) {
  float sum = 0;
  const float slope = 3 * factor;
  if (complex_halves) {
    const int64_t half = cols / 2;
    const float* im = row + half;
    float* gi = g + half;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < half; ++c) {
      const float square = row[c] * row[c] + im[c] * im[c];
      const float modulus = std::sqrt(square);
      sum += square * modulus;
      g[c] += slope * modulus * row[c];
      gi[c] += slope * modulus * im[c];
    }
  } else {
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < cols; ++c) {
      const float modulus = std::fabs(row[c]);
      sum += modulus * modulus * modulus;
      g[c] += slope * modulus * row[c];
    }
  }
  return static_cast<double>(factor) * static_cast<double>(sum);
}

}  // namespace meshplan::cpu
