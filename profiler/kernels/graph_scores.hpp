// SPDX-License-Identifier: Apache-2.0
// How near is each query to each candidate, and what is the gradient of both? Matrix products over
// all pairs of a chunk; dot, cosine, negative distance, negative squared distance.
#pragma once
#include <cstdint>
#include <vector>

#include "profiler/kernels/graph_loss.hpp"
#include "profiler/kernels/graph_products.hpp"

namespace meshplan::cpu {

struct ScoreShape {
  graph::Comparator comparator = graph::Comparator::dot;
  bool bias = false;  ///< coordinate 0 of either is added, the comparator sees the others
  int64_t queries = 0, candidates = 0, cols = 0;
  DType products = DType::fp32;  ///< see Pairs
};

/// Scratch of one worker; grows to the largest call and is kept.
class ScoreSpace {
 public:
  float* scores(int64_t count) { return grow(scores_, count); }
  float* queries(int64_t count) { return grow(queries_, count); }
  float* candidates(int64_t count) { return grow(candidates_, count); }
  float* query_scale(int64_t count) { return grow(query_scale_, count); }
  float* candidate_scale(int64_t count) { return grow(candidate_scale_, count); }
  float* row(int64_t count) { return grow(row_, count); }
  float* row_sums(int64_t count) { return grow(row_sums_, count); }
  float* column_sums(int64_t count) { return grow(column_sums_, count); }
  float* own(int64_t count) { return grow(own_, count); }
  float* own_scale(int64_t count) { return grow(own_scale_, count); }
  PairSpace pairs;

 private:
  static float* grow(std::vector<float>& buffer, int64_t count) {
    if (static_cast<int64_t>(buffer.size()) < count) buffer.resize(static_cast<size_t>(count));
    return buffer.data();
  }
  std::vector<float> scores_, queries_, candidates_, query_scale_, candidate_scale_, row_,
      row_sums_, column_sums_, own_, own_scale_;
};

/// out [queries, candidates]; bigger is nearer. q [queries, cols], k [candidates, cols].
void scores(const ScoreShape& shape, const float* q, const float* k, ScoreSpace& space, float* out);

/// One candidate more for every query that no other query has: the other end of its edge. A model
/// that never meets it as a negative ranks it first wherever a relation is symmetric.
struct OwnEnds {
  const float* rows = nullptr;  ///< [queries, cols]; null: none
  float* gradient = nullptr;    ///< [queries, cols], written
};

/// Loss of one side, summed; dq [queries, cols] and dk [candidates, cols] are written. Query i's
/// own end is candidate i.
double side_gradient(const ScoreShape& shape, const LossRows& loss, const float* q, const float* k,
                     const OwnEnds& own, ScoreSpace& space, float* dq, float* dk);

}  // namespace meshplan::cpu
