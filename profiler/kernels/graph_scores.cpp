// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/graph_scores.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "profiler/kernels/graph_products.hpp"
#include "profiler/kernels/graph_rows.hpp"

namespace meshplan::cpu {
namespace {

using graph::Comparator;

constexpr int64_t kVector = 8;             // scores of a row are padded to whole vectors
constexpr float kSmallestSquare = 1e-30F;  // below it a distance has no slope

bool is_distance(Comparator c) { return c == Comparator::l2 || c == Comparator::squared_l2; }

/// Operands as the product takes them: unit vectors for the cosine, else the rows themselves.
struct Operand {
  const float* rows;  ///< coordinate 0 is the first that the comparator sees
  int64_t stride;
};

/// scale [count]: reciprocal norms (cosine), squared norms (distances).
Operand prepare(const ScoreShape& shape, int64_t count, const float* rows, float* copy,
                float* scale) {
  const int64_t skip = shape.bias ? 1 : 0, cols = shape.cols - skip;
  const Operand as_is{rows + skip, shape.cols};
  if (shape.comparator == Comparator::dot) return as_is;
  for (int64_t i = 0; i < count; ++i) {
    const float* row = rows + i * shape.cols + skip;
    scale[i] = dot_product(cols, row, row);
    if (is_distance(shape.comparator)) continue;
    scale[i] = scale[i] > 0 ? 1 / std::sqrt(scale[i]) : 0;
    assert(copy != nullptr);  // the cosine comes with room for its unit vectors
    float* to = copy + i * shape.cols + skip;
#pragma omp simd
    for (int64_t c = 0; c < cols; ++c) to[c] = row[c] * scale[i];
  }
  return shape.comparator == Comparator::cos ? Operand{copy + skip, shape.cols} : as_is;
}

float distance(Comparator comparator, float query, float candidate, float product) {
  const float square = std::max(query + candidate - 2 * product, kSmallestSquare);
  return comparator == Comparator::l2 ? -std::sqrt(square) : -square;
}

/// Products become scores; rows of out are `stride` apart.
void finish_scores(const ScoreShape& shape, const float* q, const float* k, const float* qs,
                   const float* ks, int64_t stride, float* out) {
  const int64_t n = shape.candidates;
  if (!is_distance(shape.comparator) && !shape.bias) return;
  for (int64_t i = 0; i < shape.queries; ++i) {
    float* s = out + i * stride;
    if (is_distance(shape.comparator)) {
      const float own = qs[i];
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) s[j] = distance(shape.comparator, own, ks[j], s[j]);
    }
    if (!shape.bias) continue;
    const float own = q[i * shape.cols];
    for (int64_t j = 0; j < n; ++j) s[j] += own + k[j * shape.cols];
  }
}

/// d unit vector -> d row: (d - u (u . d)) / norm.
void through_norm(const ScoreShape& shape, int64_t count, const Operand& units, const float* scale,
                  float* d) {
  const int64_t skip = shape.bias ? 1 : 0, cols = shape.cols - skip;
  for (int64_t i = 0; i < count; ++i) {
    const float* u = units.rows + i * units.stride;
    float* g = d + i * shape.cols + skip;
    float along = 0;
#pragma omp simd reduction(+ : along)
    for (int64_t c = 0; c < cols; ++c) along += u[c] * g[c];
#pragma omp simd
    for (int64_t c = 0; c < cols; ++c) g[c] = (g[c] - u[c] * along) * scale[i];
  }
}

/// rows [m], columns [n]: sums of g [m, n], whose rows are `stride` apart.
void sums_of(int64_t m, int64_t n, int64_t stride, const float* g, float* rows, float* columns) {
  std::fill_n(columns, n, 0.0F);
  for (int64_t i = 0; i < m; ++i, g += stride) {
    float total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t j = 0; j < n; ++j) total += g[j];
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) columns[j] += g[j];
    rows[i] = total;
  }
}

struct Operands {
  Pairs pairs;
  Operand q, k;
  const float *q_scale, *k_scale;
};

Operands all_scores(const ScoreShape& shape, const float* q, const float* k, ScoreSpace& space,
                    int64_t stride, float* out) {
  const int64_t cols = shape.cols - (shape.bias ? 1 : 0);
  const bool copies = shape.comparator == Comparator::cos;
  float* qs = space.query_scale(shape.queries);
  float* ks = space.candidate_scale(shape.candidates);
  const Operand a = prepare(shape, shape.queries, q,
                            copies ? space.queries(shape.queries * shape.cols) : nullptr, qs);
  const Operand b = prepare(shape, shape.candidates, k,
                            copies ? space.candidates(shape.candidates * shape.cols) : nullptr, ks);
  const Pairs pairs{shape.products, shape.queries, shape.candidates, cols,
                    a.rows,         b.rows,        a.stride,         b.stride};
  pair_scores(pairs, space.pairs, stride, out);
  finish_scores(shape, q, k, qs, ks, stride, out);
  return {pairs, a, b, qs, ks};
}

/// The last column: every query with its own candidate.
void own_scores(const ScoreShape& shape, const Operands& all, const Operand& own,
                const float* own_scale, const float* q, const float* rows, int64_t stride,
                float* out) {
  const int64_t cols = shape.cols - (shape.bias ? 1 : 0);
  for (int64_t i = 0; i < shape.queries; ++i) {
    float* s = out + i * stride + shape.candidates;
    *s = dot_product(cols, all.q.rows + i * all.q.stride, own.rows + i * own.stride);
    if (is_distance(shape.comparator))
      *s = distance(shape.comparator, all.q_scale[i], own_scale[i], *s);
    if (shape.bias) *s += q[i * shape.cols] + rows[i * shape.cols];
  }
}

/// d score -> d squared distance
float through_distance(Comparator comparator, float score, float g) {
  if (comparator == Comparator::squared_l2) return -g;
  return score < -1e-14F ? 0.5F * g / score : 0.0F;
}

/// d += 2 sums x, of the squares in a squared distance
void add_squares(const ScoreShape& shape, int64_t count, const float* x, const float* sums,
                 int64_t sums_stride, float* d) {
  const int64_t skip = shape.bias ? 1 : 0;
  for (int64_t i = 0; i < count; ++i) {
    const float slope = 2 * sums[i * sums_stride];
#pragma omp simd
    for (int64_t c = skip; c < shape.cols; ++c)
      d[i * shape.cols + c] += slope * x[i * shape.cols + c];
  }
}

}  // namespace

void scores(const ScoreShape& shape, const float* q, const float* k, ScoreSpace& space,
            float* out) {
  all_scores(shape, q, k, space, shape.candidates, out);
}

double side_gradient(const ScoreShape& shape, const LossRows& loss, const float* q, const float* k,
                     const OwnEnds& own, ScoreSpace& space, float* dq, float* dk) {
  const int64_t m = shape.queries, n = shape.candidates, skip = shape.bias ? 1 : 0;
  const int64_t cols = shape.cols - skip, width = n + (own.rows != nullptr ? 1 : 0);
  const int64_t stride = (width + kVector - 1) / kVector * kVector;
  const bool far = is_distance(shape.comparator);
  const bool cosine = shape.comparator == Comparator::cos;
  float* s = space.scores(m * stride);
  const Operands all = all_scores(shape, q, k, space, stride, s);
  float* own_scale = space.own_scale(m);
  Operand o{nullptr, 0};
  if (own.rows != nullptr) {
    o = prepare(shape, m, own.rows, cosine ? space.own(m * shape.cols) : nullptr, own_scale);
    own_scores(shape, all, o, own_scale, q, own.rows, stride, s);
  }

  const bool root = shape.comparator == Comparator::l2;
  // The slope of a distance with respect to its square needs the score, which the loss overwrites.
  float* kept = root ? space.row(m * stride) : nullptr;
  if (root) std::copy_n(s, m * stride, kept);
  const double sum = loss_gradient(loss, m, width, stride, s);
  float* rows = space.row_sums(m);
  float* columns = space.column_sums(width);
  if (shape.bias) {
    sums_of(m, width, stride, s, rows, columns);
    for (int64_t i = 0; i < m; ++i) dq[i * shape.cols] = rows[i];
    for (int64_t j = 0; j < n; ++j) dk[j * shape.cols] = columns[j];
    for (int64_t i = 0; own.rows != nullptr && i < m; ++i)
      own.gradient[i * shape.cols] = s[i * stride + n];
  }
  for (int64_t i = 0; far && i < m; ++i) {
    float* g = s + i * stride;
    const float* before = root ? kept + i * stride : g;
    for (int64_t j = 0; j < width; ++j) {
      const float* other = j < n ? k + j * shape.cols : own.rows + i * shape.cols;
      const float bias = shape.bias ? q[i * shape.cols] + *other : 0.0F;
      g[j] = through_distance(shape.comparator, before[j] - bias, g[j]);
    }
  }
  if (far) sums_of(m, width, stride, s, rows, columns);
  const float factor = far ? -2.0F : 1.0F;
  pair_gradients(all.pairs, space.pairs, factor, s, stride, dq + skip, dk + skip, shape.cols);
  for (int64_t i = 0; own.rows != nullptr && i < m; ++i) {
    const float g = factor * s[i * stride + n];
    const float *a = all.q.rows + i * all.q.stride, *b = o.rows + i * o.stride;
    float *da = dq + i * shape.cols + skip, *db = own.gradient + i * shape.cols + skip;
#pragma omp simd
    for (int64_t c = 0; c < cols; ++c) {
      da[c] += g * b[c];
      db[c] = g * a[c];
    }
  }
  if (far) {
    add_squares(shape, m, q, rows, 1, dq);
    add_squares(shape, n, k, columns, 1, dk);
    if (own.rows != nullptr) add_squares(shape, m, own.rows, s + n, stride, own.gradient);
  }
  if (cosine) {
    through_norm(shape, m, all.q, all.q_scale, dq);
    through_norm(shape, n, all.k, all.k_scale, dk);
    if (own.rows != nullptr) through_norm(shape, m, o, own_scale, own.gradient);
  }
  return sum;
}

}  // namespace meshplan::cpu
