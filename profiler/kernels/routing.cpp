// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/routing.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace meshplan::cpu {
namespace {

constexpr int64_t kRowGrain = 4;

template <class T>
void softmax(int64_t count, const T* x, T* p) {
  const T largest = *std::max_element(x, x + count);
  T sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += p[i] = std::exp(x[i] - largest);
  for (int64_t i = 0; i < count; ++i) p[i] /= sum;
}

}  // namespace

template <class T>
void route_forward(Workers& workers, const RouteShape& shape, const T* logits, T* gates,
                   int32_t* expert, T* probabilities) {
  const int64_t k = shape.top_k;
  workers.split(shape.tokens, kRowGrain, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> order(static_cast<size_t>(shape.experts));
    for (int64_t t = begin; t < end; ++t) {
      const T* x = logits + t * shape.experts;
      T* p = probabilities + t * shape.experts;
      softmax(shape.experts, x, p);
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k, order.end(),
                        [&](int32_t a, int32_t b) { return x[a] != x[b] ? x[a] > x[b] : a < b; });
      T sum = 0;
      for (int64_t j = 0; j < k; ++j) {
        expert[t * k + j] = order[static_cast<size_t>(j)];
        gates[t * k + j] = p[order[static_cast<size_t>(j)]];
        sum += gates[t * k + j];
      }
      if (!shape.normalise) continue;
      for (int64_t j = 0; j < k; ++j) gates[t * k + j] /= sum;
    }
  });
}

template <class T>
void route_backward(Workers& workers, const RouteShape& shape, const T* dgates, const T* gates,
                    const int32_t* expert, const T* probabilities, T* dlogits) {
  assert(shape.normalise || probabilities != nullptr);
  const int64_t k = shape.top_k;
  workers.split(shape.tokens, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      T* dx = dlogits + t * shape.experts;
      T sum = 0;  // of gate * dgate
      for (int64_t p = t * k; p < (t + 1) * k; ++p) sum += gates[p] * dgates[p];
      // either way a softmax, over the chosen or over all experts
      for (int64_t e = 0; e < shape.experts; ++e) {
        dx[e] = shape.normalise ? T(0) : -probabilities[t * shape.experts + e] * sum;
      }
      for (int64_t p = t * k; p < (t + 1) * k; ++p) {
        dx[expert[p]] += gates[p] * (shape.normalise ? dgates[p] - sum : dgates[p]);
      }
    }
  });
}

std::vector<int32_t> rows_of_fixed_capacity(const RouteShape& shape, int64_t group,
                                            int64_t capacity, const int32_t* expert) {
  assert(shape.tokens % group == 0);
  const int64_t groups = shape.tokens / group;
  std::vector<int32_t> row(static_cast<size_t>(shape.tokens * shape.top_k), -1);
  std::vector<int64_t> taken(static_cast<size_t>(shape.experts));
  for (int64_t g = 0; g < groups; ++g) {
    std::fill(taken.begin(), taken.end(), 0);
    for (int64_t j = 0; j < shape.top_k; ++j) {
      for (int64_t t = g * group; t < (g + 1) * group; ++t) {
        const int64_t pair = t * shape.top_k + j;
        int64_t& slot = taken[static_cast<size_t>(expert[pair])];
        if (slot == capacity) continue;
        row[static_cast<size_t>(pair)] =
            static_cast<int32_t>((expert[pair] * groups + g) * capacity + slot++);
      }
    }
  }
  return row;
}

std::vector<int32_t> rows_of_dropless(const RouteShape& shape, const int32_t* expert,
                                      std::vector<int64_t>* counts) {
  const int64_t pairs = shape.tokens * shape.top_k;
  counts->assign(static_cast<size_t>(shape.experts), 0);
  for (int64_t p = 0; p < pairs; ++p) ++(*counts)[static_cast<size_t>(expert[p])];
  std::vector<int64_t> next(counts->size(), 0);
  std::partial_sum(counts->begin(), counts->end() - 1, next.begin() + 1);
  std::vector<int32_t> row(static_cast<size_t>(pairs));
  for (int64_t p = 0; p < pairs; ++p) {
    row[static_cast<size_t>(p)] = static_cast<int32_t>(next[static_cast<size_t>(expert[p])]++);
  }
  return row;
}

template <class T>
void dispatch_forward(Workers& workers, int64_t tokens, int64_t top_k, int64_t rows, int64_t hidden,
                      const int32_t* row, const T* x, T* permuted) {
  fill(workers, rows * hidden, T(0), permuted);
  workers.split(tokens, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin * top_k; p < end * top_k; ++p) {
      if (row[p] >= 0) std::copy_n(x + p / top_k * hidden, hidden, permuted + row[p] * hidden);
    }
  });
}

template <class T>
void dispatch_backward(Workers& workers, int64_t tokens, int64_t top_k, int64_t hidden,
                       const int32_t* row, const T* dpermuted, T* dx) {
  workers.split(tokens, kRowGrain, [&](int64_t begin, int64_t end) {
    std::fill(dx + begin * hidden, dx + end * hidden, T(0));
    for (int64_t p = begin * top_k; p < end * top_k; ++p) {
      if (row[p] < 0) continue;
      T* out = dx + p / top_k * hidden;
      const T* in = dpermuted + row[p] * hidden;
      for (int64_t c = 0; c < hidden; ++c) out[c] += in[c];
    }
  });
}

template <class T>
void combine_forward(Workers& workers, int64_t tokens, int64_t top_k, int64_t hidden,
                     const int32_t* row, const T* gates, const T* permuted, T* y) {
  workers.split(tokens, kRowGrain, [&](int64_t begin, int64_t end) {
    std::fill(y + begin * hidden, y + end * hidden, T(0));
    for (int64_t p = begin * top_k; p < end * top_k; ++p) {
      if (row[p] < 0) continue;
      T* out = y + p / top_k * hidden;
      const T* in = permuted + row[p] * hidden;
      for (int64_t c = 0; c < hidden; ++c) out[c] += gates[p] * in[c];
    }
  });
}

template <class T>
void combine_backward(Workers& workers, int64_t tokens, int64_t top_k, int64_t rows, int64_t hidden,
                      const int32_t* row, const T* gates, const T* permuted, const T* dy,
                      T* dpermuted, T* dgates) {
  fill(workers, rows * hidden, T(0), dpermuted);
  workers.split(tokens, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin * top_k; p < end * top_k; ++p) {
      dgates[p] = T(0);
      if (row[p] < 0) continue;
      const T* gradient = dy + p / top_k * hidden;
      const T* in = permuted + row[p] * hidden;
      T* out = dpermuted + row[p] * hidden;
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < hidden; ++c) {
        sum += gradient[c] * in[c];
        out[c] = gates[p] * gradient[c];
      }
      dgates[p] = sum;
    }
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                                    \
  template void route_forward<T>(Workers&, const RouteShape&, const T*, T*, int32_t*, T*);         \
  template void route_backward<T>(Workers&, const RouteShape&, const T*, const T*, const int32_t*, \
                                  const T*, T*);                                                   \
  template void dispatch_forward<T>(Workers&, int64_t, int64_t, int64_t, int64_t, const int32_t*,  \
                                    const T*, T*);                                                 \
  template void dispatch_backward<T>(Workers&, int64_t, int64_t, int64_t, const int32_t*,          \
                                     const T*, T*);                                                \
  template void combine_forward<T>(Workers&, int64_t, int64_t, int64_t, const int32_t*, const T*,  \
                                   const T*, T*);                                                  \
  template void combine_backward<T>(Workers&, int64_t, int64_t, int64_t, int64_t, const int32_t*,  \
                                    const T*, const T*, const T*, T*, T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
