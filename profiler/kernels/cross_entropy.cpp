// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "profiler/kernels/vector_math.hpp"

namespace meshplan::cpu {
namespace {

int64_t existing(const VocabularyShard& shard) {
  return std::clamp<int64_t>(shard.vocab - shard.begin, 0, shard.columns);
}

}  // namespace

template <class T>
void cross_entropy_maximum(Workers& workers, const VocabularyShard& shard, const T* logits,
                           T* maximum) {
  const int64_t cols = existing(shard);
  workers.split(shard.tokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* x = logits + r * shard.columns;
      T largest = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : largest)
      for (int64_t c = 0; c < cols; ++c) largest = x[c] > largest ? x[c] : largest;
      maximum[r] = largest;
    }
  });
}

template <class T>
void cross_entropy_sum(Workers& workers, const VocabularyShard& shard, const T* logits,
                       const int32_t* targets, const T* maximum, T* sum, T* target) {
  const int64_t cols = existing(shard);
  workers.split(shard.tokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* x = logits + r * shard.columns;
      const T shift = maximum[r];
      T total = 0;
#pragma omp simd reduction(+ : total)
      for (int64_t c = 0; c < cols; ++c) total += fast_exp(x[c] - shift);
      sum[r] = total;
      const int64_t own = targets[r] - shard.begin;
      target[r] = own >= 0 && own < cols ? x[own] - shift : T(0);
    }
  });
}

template <class T>
double cross_entropy_loss(int64_t tokens, const T* sum, const T* target) {
  double loss = 0;
  for (int64_t r = 0; r < tokens; ++r) {
    loss += std::log(static_cast<double>(sum[r])) - static_cast<double>(target[r]);
  }
  return loss;
}

template <class T>
void cross_entropy_gradient(Workers& workers, const VocabularyShard& shard, T factor,
                            const T* logits, const int32_t* targets, const T* maximum, const T* sum,
                            T* dlogits) {
  const int64_t cols = existing(shard);
  workers.split(shard.tokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* x = logits + r * shard.columns;
      T* out = dlogits + r * shard.columns;
      const T shift = maximum[r];
      const T share = factor / sum[r];
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) out[c] = share * fast_exp(x[c] - shift);
      std::fill(out + cols, out + shard.columns, T(0));
      const int64_t own = targets[r] - shard.begin;
      if (own >= 0 && own < cols) out[own] -= factor;
    }
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                                  \
  template void cross_entropy_maximum<T>(Workers&, const VocabularyShard&, const T*, T*);        \
  template void cross_entropy_sum<T>(Workers&, const VocabularyShard&, const T*, const int32_t*, \
                                     const T*, T*, T*);                                          \
  template double cross_entropy_loss<T>(int64_t, const T*, const T*);                            \
  template void cross_entropy_gradient<T>(Workers&, const VocabularyShard&, T, const T*,         \
                                          const int32_t*, const T*, const T*, T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
