// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/softmax.hpp"

#include <limits>

#include "profiler/kernels/vector_math.hpp"

namespace meshplan::cpu {
namespace {

/// p = softmax of itself, entries of -infinity become 0.
template <class T>
void softmax_row(int64_t cols, T* p) {
  T largest = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : largest)
  for (int64_t c = 0; c < cols; ++c) largest = p[c] > largest ? p[c] : largest;
  if (largest == -std::numeric_limits<T>::infinity()) largest = T(0);  // sees no key
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < cols; ++c) {
    p[c] = fast_exp(p[c] - largest);
    sum += p[c];
  }
  const T factor = sum > T(0) ? T(1) / sum : T(0);
  for (int64_t c = 0; c < cols; ++c) p[c] *= factor;
}

}  // namespace

template <class T>
void softmax_forward(Workers& workers, const SoftmaxShape& shape, const int32_t* q_position,
                     const int32_t* kv_position, const T* scores, T* p) {
  const int64_t cols = shape.kv_len;
  const T scale = static_cast<T>(shape.scale);
  workers.split(shape.blocks * shape.q_len, 4, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int32_t query = q_position[r % shape.q_len];
      const T* x = scores + r * cols;
      T* row = p + r * cols;
      for (int64_t c = 0; c < cols; ++c) {
        const bool seen =
            kv_position[c] <= query && (shape.window == 0 || query - kv_position[c] < shape.window);
        row[c] = seen ? scale * x[c] : -std::numeric_limits<T>::infinity();
      }
      softmax_row(cols, row);
    }
  });
}

template <class T>
void softmax_backward(Workers& workers, const SoftmaxShape& shape, const T* dp, const T* p,
                      T* dscores) {
  const int64_t cols = shape.kv_len;
  const T scale = static_cast<T>(shape.scale);
  workers.split(shape.blocks * shape.q_len, 4, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* dp_row = dp + r * cols;
      const T* p_row = p + r * cols;
      T* out = dscores + r * cols;
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < cols; ++c) sum += p_row[c] * dp_row[c];
      for (int64_t c = 0; c < cols; ++c) out[c] = scale * p_row[c] * (dp_row[c] - sum);
    }
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                                   \
  template void softmax_forward<T>(Workers&, const SoftmaxShape&, const int32_t*, const int32_t*, \
                                   const T*, T*);                                                 \
  template void softmax_backward<T>(Workers&, const SoftmaxShape&, const T*, const T*, T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
