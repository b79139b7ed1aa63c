// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/norm.hpp"

#include <cmath>

namespace meshplan::cpu {
namespace {

constexpr int64_t kRowGrain = 4;
constexpr int64_t kColumnGrain = 64;

template <class T>
T sum_of(const T* x, int64_t n) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

/// Sum of (x - shift)^2.
template <class T>
T squares_of(const T* x, T shift, int64_t n) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += (x[i] - shift) * (x[i] - shift);
  return sum;
}

/// One row of either norm's input gradient; centred says whether the mean of g is taken out.
template <class T>
void input_row(const T* x, const T* weight, T mean, T rstd, const T* dy, bool centred, Write write,
               int64_t cols, T* dx) {
  T g_sum = 0;
  T gx_sum = 0;
#pragma omp simd reduction(+ : g_sum, gx_sum)
  for (int64_t c = 0; c < cols; ++c) {
    const T g = dy[c] * weight[c];
    g_sum += g;
    gx_sum += g * ((x[c] - mean) * rstd);
  }
  const T g_mean = centred ? g_sum / static_cast<T>(cols) : T(0);
  const T gx_mean = gx_sum / static_cast<T>(cols);
  if (write == Write::set) {
    for (int64_t c = 0; c < cols; ++c) {
      dx[c] = rstd * (dy[c] * weight[c] - g_mean - (x[c] - mean) * rstd * gx_mean);
    }
  } else {
    for (int64_t c = 0; c < cols; ++c) {
      dx[c] += rstd * (dy[c] * weight[c] - g_mean - (x[c] - mean) * rstd * gx_mean);
    }
  }
}

/// mean == nullptr: RMSNorm. Columns are cut among the workers, so that every sum runs over the
/// rows in order whatever the number of workers.
template <class T>
void weight_columns(Workers& workers, int64_t rows, int64_t cols, const T* x, const T* mean,
                    const T* rstd, const T* dy, T* dweight, T* dbias) {
  workers.split(cols, kColumnGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < rows; ++r) {
      const T shift = mean != nullptr ? mean[r] : T(0);
      const T factor = rstd[r];
      const T* x_row = x + r * cols;
      const T* dy_row = dy + r * cols;
      for (int64_t c = begin; c < end; ++c) dweight[c] += dy_row[c] * ((x_row[c] - shift) * factor);
      if (dbias == nullptr) continue;
      for (int64_t c = begin; c < end; ++c) dbias[c] += dy_row[c];
    }
  });
}

}  // namespace

template <class T>
void rmsnorm_forward(Workers& workers, int64_t rows, int64_t cols, double epsilon, const T* x,
                     const T* weight, T* y, T* rstd) {
  workers.split(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* x_row = x + r * cols;
      const T variance = squares_of(x_row, T(0), cols) / static_cast<T>(cols);
      const T factor = T(1) / std::sqrt(variance + static_cast<T>(epsilon));
      rstd[r] = factor;
      for (int64_t c = 0; c < cols; ++c) y[r * cols + c] = x_row[c] * factor * weight[c];
    }
  });
}

template <class T>
void rmsnorm_backward_input(Workers& workers, int64_t rows, int64_t cols, const T* x,
                            const T* weight, const T* rstd, const T* dy, Write write, T* dx) {
  workers.split(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      input_row(x + r * cols, weight, T(0), rstd[r], dy + r * cols, false, write, cols,
                dx + r * cols);
    }
  });
}

template <class T>
void rmsnorm_backward_weight(Workers& workers, int64_t rows, int64_t cols, const T* x,
                             const T* rstd, const T* dy, T* dweight) {
  weight_columns<T>(workers, rows, cols, x, nullptr, rstd, dy, dweight, nullptr);
}

template <class T>
void layernorm_forward(Workers& workers, int64_t rows, int64_t cols, double epsilon, const T* x,
                       const T* weight, const T* bias, T* y, T* mean, T* rstd) {
  workers.split(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* x_row = x + r * cols;
      const T shift = sum_of(x_row, cols) / static_cast<T>(cols);
      const T variance = squares_of(x_row, shift, cols) / static_cast<T>(cols);
      const T factor = T(1) / std::sqrt(variance + static_cast<T>(epsilon));
      mean[r] = shift;
      rstd[r] = factor;
      for (int64_t c = 0; c < cols; ++c) {
        y[r * cols + c] = (x_row[c] - shift) * factor * weight[c] + bias[c];
      }
    }
  });
}

template <class T>
void layernorm_backward_input(Workers& workers, int64_t rows, int64_t cols, const T* x,
                              const T* weight, const T* mean, const T* rstd, const T* dy,
                              Write write, T* dx) {
  workers.split(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      input_row(x + r * cols, weight, mean[r], rstd[r], dy + r * cols, true, write, cols,
                dx + r * cols);
    }
  });
}

template <class T>
void layernorm_backward_weight(Workers& workers, int64_t rows, int64_t cols, const T* x,
                               const T* mean, const T* rstd, const T* dy, T* dweight, T* dbias) {
  weight_columns(workers, rows, cols, x, mean, rstd, dy, dweight, dbias);
}

#define MESHPLAN_INSTANTIATE(T)                                                                \
  template void rmsnorm_forward<T>(Workers&, int64_t, int64_t, double, const T*, const T*, T*, \
                                   T*);                                                        \
  template void rmsnorm_backward_input<T>(Workers&, int64_t, int64_t, const T*, const T*,      \
                                          const T*, const T*, Write, T*);                      \
  template void rmsnorm_backward_weight<T>(Workers&, int64_t, int64_t, const T*, const T*,     \
                                           const T*, T*);                                      \
  template void layernorm_forward<T>(Workers&, int64_t, int64_t, double, const T*, const T*,   \
                                     const T*, T*, T*, T*);                                    \
  template void layernorm_backward_input<T>(Workers&, int64_t, int64_t, const T*, const T*,    \
                                            const T*, const T*, const T*, Write, T*);          \
  template void layernorm_backward_weight<T>(Workers&, int64_t, int64_t, const T*, const T*,   \
                                             const T*, const T*, T*, T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
