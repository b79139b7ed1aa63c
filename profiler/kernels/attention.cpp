// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/attention.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <vector>

#include "profiler/kernels/blas.hpp"
#include "profiler/kernels/vector_math.hpp"

namespace meshplan::cpu {
namespace {

// Scores of a tile and the rows of its operands stay in a second-level cache of 512 kB.
constexpr int64_t kQueryTile = 64;
constexpr int64_t kKeyTile = 128;

enum class Cover { none, some, all };

/// Strides, ranges and the mask: everything but the arithmetic.
struct Geometry {
  AttentionShape shape;
  const int32_t* q_position;
  const int32_t* kv_position;

  int64_t q_stride() const { return shape.heads * shape.head_dim; }
  int64_t o_stride() const { return shape.heads * shape.head_dim_v; }
  int64_t k_stride() const { return shape.kv_heads * shape.head_dim; }
  int64_t v_stride() const { return shape.kv_heads * shape.head_dim_v; }
  int64_t group() const { return shape.heads / shape.kv_heads; }
  int64_t part_length() const { return shape.kv_len / shape.kv_parts; }
  /// Row of k and v that holds key j of sequence b.
  int64_t kv_row(int64_t b, int64_t j) const {
    const int64_t part = j / part_length();
    return (part * shape.batch + b) * part_length() + j % part_length();
  }
  template <class T>
  T scale() const {
    return static_cast<T>(shape.scale != 0 ? shape.scale
                                           : 1 / std::sqrt(static_cast<double>(shape.head_dim)));
  }
  bool sees(int32_t query, int32_t key) const {
    return key <= query && (shape.window == 0 || query - key < shape.window);
  }
  Cover cover(int64_t q_begin, int64_t q_end, int64_t kv_begin, int64_t kv_end) const {
    const auto [q_min, q_max] = std::minmax_element(q_position + q_begin, q_position + q_end);
    const auto [k_min, k_max] = std::minmax_element(kv_position + kv_begin, kv_position + kv_end);
    if (*k_min > *q_max || (shape.window > 0 && *q_min - *k_max >= shape.window)) {
      return Cover::none;
    }
    return sees(*q_min, *k_max) && sees(*q_max, *k_min) ? Cover::all : Cover::some;
  }

  /// Calls body(kv_begin, kv_end, cover) for the key tiles, none across two parts, that a query
  /// tile sees.
  template <class Body>
  void key_tiles(int64_t q_begin, int64_t q_end, const Body& body) const {
    for (int64_t part = 0; part < shape.kv_parts; ++part) {
      const int64_t part_end = (part + 1) * part_length();
      for (int64_t begin = part * part_length(); begin < part_end; begin += kKeyTile) {
        const int64_t end = std::min(begin + kKeyTile, part_end);
        const Cover covered = cover(q_begin, q_end, begin, end);
        if (covered != Cover::none) body(begin, end, covered);
      }
    }
  }

  /// scores [q_end - q_begin, kv_end - kv_begin] where unseen = -infinity.
  template <class T>
  void mask(int64_t q_begin, int64_t q_end, int64_t kv_begin, int64_t kv_end, T* scores) const {
    for (int64_t i = q_begin; i < q_end; ++i) {
      T* row = scores + (i - q_begin) * (kv_end - kv_begin);
      const int32_t query = q_position[i];
      for (int64_t j = kv_begin; j < kv_end; ++j) {
        if (!sees(query, kv_position[j])) row[j - kv_begin] = -std::numeric_limits<T>::infinity();
      }
    }
  }
};

template <class T>
T max_of(const T* x, int64_t count) {
  T largest = x[0];
#pragma omp simd reduction(max : largest)
  for (int64_t i = 1; i < count; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

/// x = exp(x - shift); their sum.
template <class T>
T exp_row(T* x, T shift, int64_t count) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    x[i] = fast_exp(x[i] - shift);
    sum += x[i];
  }
  return sum;
}

template <class T>
void scale_row(T* x, T factor, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] *= factor;
}

/// One tile of queries of one head over all keys.
template <class T>
class ForwardTile {
 public:
  ForwardTile(const Geometry& geometry, int64_t b, int64_t h, int64_t q_begin, int64_t q_end)
      : g_(geometry), b_(b), h_(h), q_begin_(q_begin), q_end_(q_end) {}

  void run(const T* q, const T* k, const T* v, T* o, T* lse) {
    const int64_t dv = g_.shape.head_dim_v;
    const int64_t rows = q_end_ - q_begin_;
    const int64_t first = b_ * g_.shape.q_len + q_begin_;
    T* out = o + first * g_.o_stride() + h_ * dv;
    for (int64_t i = 0; i < rows; ++i) std::fill_n(out + i * g_.o_stride(), dv, T(0));
    largest_.assign(static_cast<size_t>(rows), -std::numeric_limits<T>::infinity());
    sum_.assign(static_cast<size_t>(rows), T(0));
    scores_.resize(static_cast<size_t>(rows * kKeyTile));
    g_.key_tiles(q_begin_, q_end_, [&](int64_t begin, int64_t end, Cover cover) {
      const int64_t row = g_.kv_row(b_, begin);
      const int64_t head = h_ / g_.group();
      blas_gemm(false, true, rows, end - begin, g_.shape.head_dim, g_.scale<T>(),
                q + first * g_.q_stride() + h_ * g_.shape.head_dim, g_.q_stride(),
                k + row * g_.k_stride() + head * g_.shape.head_dim, g_.k_stride(), T(0),
                scores_.data(), end - begin);
      if (cover == Cover::some) g_.mask(q_begin_, q_end_, begin, end, scores_.data());
      exponentials(end - begin, out);
      blas_gemm(false, false, rows, dv, end - begin, T(1), scores_.data(), end - begin,
                v + row * g_.v_stride() + head * dv, g_.v_stride(), T(1), out, g_.o_stride());
    });
    for (int64_t i = 0; i < rows; ++i) {
      const T sum = sum_[static_cast<size_t>(i)];
      lse[(first + i) * g_.shape.heads + h_] = largest_[static_cast<size_t>(i)] + std::log(sum);
      if (sum > T(0)) scale_row(out + i * g_.o_stride(), T(1) / sum, dv);
    }
  }

 private:
  /// Scores -> exponentials relative to the new running maximum; sums and output follow it.
  void exponentials(int64_t cols, T* out) {
    for (size_t i = 0; i < largest_.size(); ++i) {
      T* row = scores_.data() + static_cast<int64_t>(i) * cols;
      const T before = largest_[i];
      const T now = std::max(before, max_of(row, cols));
      if (now == -std::numeric_limits<T>::infinity()) {  // nothing seen so far
        std::fill_n(row, cols, T(0));
        continue;
      }
      const T factor = fast_exp(before - now);
      sum_[i] = sum_[i] * factor + exp_row(row, now, cols);
      largest_[i] = now;
      if (factor != T(1)) {
        scale_row(out + static_cast<int64_t>(i) * g_.o_stride(), factor, g_.shape.head_dim_v);
      }
    }
  }

  const Geometry& g_;
  int64_t b_, h_, q_begin_, q_end_;
  std::vector<T> largest_, sum_, scores_;
};

/// Pointers of the backward pass.
template <class T>
struct Gradients {
  const T *q, *k, *v, *o, *lse, *d_o;
  T *dq, *dk, *dv;
};

/// One tile of queries of one head: its dq, and its share of dk and dv.
template <class T>
void backward_tile(const Geometry& g, int64_t b, int64_t h, int64_t q_begin, int64_t q_end,
                   const Gradients<T>& x, std::vector<T>& p, std::vector<T>& ds) {
  const int64_t rows = q_end - q_begin;
  const int64_t d = g.shape.head_dim;
  const int64_t dv = g.shape.head_dim_v;
  const int64_t first = b * g.shape.q_len + q_begin;
  const int64_t head = h / g.group();
  const T* q = x.q + first * g.q_stride() + h * d;
  const T* d_o = x.d_o + first * g.o_stride() + h * dv;
  const T* o = x.o + first * g.o_stride() + h * dv;
  std::vector<T> delta(static_cast<size_t>(rows));  // sum of do * o per row
  for (int64_t i = 0; i < rows; ++i) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < dv; ++c) sum += d_o[i * g.o_stride() + c] * o[i * g.o_stride() + c];
    delta[static_cast<size_t>(i)] = sum;
  }
  p.resize(static_cast<size_t>(rows * kKeyTile));
  ds.resize(p.size());
  g.key_tiles(q_begin, q_end, [&](int64_t begin, int64_t end, Cover cover) {
    const int64_t cols = end - begin;
    const int64_t row = g.kv_row(b, begin);
    const T* k = x.k + row * g.k_stride() + head * d;
    const T* v = x.v + row * g.v_stride() + head * dv;
    blas_gemm(false, true, rows, cols, d, g.scale<T>(), q, g.q_stride(), k, g.k_stride(), T(0),
              p.data(), cols);
    if (cover == Cover::some) g.mask(q_begin, q_end, begin, end, p.data());
    blas_gemm(false, true, rows, cols, dv, T(1), d_o, g.o_stride(), v, g.v_stride(), T(0),
              ds.data(), cols);
    for (int64_t i = 0; i < rows; ++i) {
      const T lse = x.lse[(first + i) * g.shape.heads + h];
      // a row that sees no key at all has lse = -infinity and only masked scores
      const T shift = std::isinf(lse) ? T(0) : lse;
      const T shared = delta[static_cast<size_t>(i)];
      T* p_row = p.data() + i * cols;
      T* ds_row = ds.data() + i * cols;
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) {
        p_row[c] = fast_exp(p_row[c] - shift);
        ds_row[c] = p_row[c] * (ds_row[c] - shared);
      }
    }
    blas_gemm(true, false, cols, dv, rows, T(1), p.data(), cols, d_o, g.o_stride(), T(1),
              x.dv + row * g.v_stride() + head * dv, g.v_stride());
    blas_gemm(true, false, cols, d, rows, g.scale<T>(), ds.data(), cols, q, g.q_stride(), T(1),
              x.dk + row * g.k_stride() + head * d, g.k_stride());
    blas_gemm(false, false, rows, d, cols, g.scale<T>(), ds.data(), cols, k, g.k_stride(), T(1),
              x.dq + first * g.q_stride() + h * d, g.q_stride());
  });
}

}  // namespace

template <class T>
void attention_forward(Workers& workers, const AttentionShape& shape, const int32_t* q_position,
                       const int32_t* kv_position, const T* q, const T* k, const T* v, T* o,
                       T* lse) {
  assert(shape.heads % shape.kv_heads == 0 && shape.kv_len % shape.kv_parts == 0);
  const Geometry g{shape, q_position, kv_position};
  const int64_t tiles = (shape.q_len + kQueryTile - 1) / kQueryTile;
  workers.run(shape.batch * shape.heads * tiles, [&](int64_t task, int) {
    const int64_t tile = task % tiles;
    const int64_t h = task / tiles % shape.heads;
    const int64_t b = task / tiles / shape.heads;
    ForwardTile<T>(g, b, h, tile * kQueryTile, std::min((tile + 1) * kQueryTile, shape.q_len))
        .run(q, k, v, o, lse);
  });
}

template <class T>
void attention_backward(Workers& workers, const AttentionShape& shape, const int32_t* q_position,
                        const int32_t* kv_position, const T* q, const T* k, const T* v, const T* o,
                        const T* lse, const T* d_o, Write write_q, T* dq, Write write_kv, T* dk,
                        T* dv) {
  assert(shape.heads % shape.kv_heads == 0 && shape.kv_len % shape.kv_parts == 0);
  const Geometry g{shape, q_position, kv_position};
  if (write_q == Write::set) fill(workers, shape.batch * shape.q_len * g.q_stride(), T(0), dq);
  if (write_kv == Write::set) {
    fill(workers, shape.batch * shape.kv_len * g.k_stride(), T(0), dk);
    fill(workers, shape.batch * shape.kv_len * g.v_stride(), T(0), dv);
  }
  const Gradients<T> x{q, k, v, o, lse, d_o, dq, dk, dv};
  // one task per head of keys: its gradients are summed by one worker in a fixed order
  workers.run(shape.batch * shape.kv_heads, [&](int64_t task, int) {
    std::vector<T> p, ds;
    const int64_t b = task / shape.kv_heads;
    for (int64_t i = 0; i < g.group(); ++i) {
      const int64_t h = task % shape.kv_heads * g.group() + i;
      for (int64_t begin = 0; begin < shape.q_len; begin += kQueryTile) {
        backward_tile(g, b, h, begin, std::min(begin + kQueryTile, shape.q_len), x, p, ds);
      }
    }
  });
}

template <class T>
void attention_merge(Workers& workers, int64_t rows, int64_t heads, int64_t head_dim_v,
                     const T* o_block, const T* lse_block, T* o, T* lse) {
  workers.split(rows, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      if (lse_block[i] == -std::numeric_limits<T>::infinity()) continue;
      const T largest = std::max(lse[i], lse_block[i]);
      const T total =
          largest + std::log(std::exp(lse[i] - largest) + std::exp(lse_block[i] - largest));
      const T keep = std::exp(lse[i] - total);
      const T take = std::exp(lse_block[i] - total);
      lse[i] = total;
      T* row = o + i * head_dim_v;
      const T* block = o_block + i * head_dim_v;
      for (int64_t c = 0; c < head_dim_v; ++c) row[c] = keep * row[c] + take * block[c];
    }
  });
}

#define MESHPLAN_INSTANTIATE(T)                                                               \
  template void attention_forward<T>(Workers&, const AttentionShape&, const int32_t*,         \
                                     const int32_t*, const T*, const T*, const T*, T*, T*);   \
  template void attention_backward<T>(Workers&, const AttentionShape&, const int32_t*,        \
                                      const int32_t*, const T*, const T*, const T*, const T*, \
                                      const T*, const T*, Write, T*, Write, T*, T*);          \
  template void attention_merge<T>(Workers&, int64_t, int64_t, int64_t, const T*, const T*, T*, T*);
MESHPLAN_INSTANTIATE(float)
MESHPLAN_INSTANTIATE(double)
#undef MESHPLAN_INSTANTIATE

}  // namespace meshplan::cpu
