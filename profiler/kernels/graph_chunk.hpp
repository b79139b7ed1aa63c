// SPDX-License-Identifier: Apache-2.0
// What does one chunk of edges lose, and what are the gradients of all that it touches? Both
// corrupted sides with the relation's operator, the loss and N3 in one call.
#pragma once
#include "profiler/kernels/graph_operator.hpp"
#include "profiler/kernels/graph_scores.hpp"

namespace meshplan::cpu {

struct ChunkModel {
  graph::Comparator comparator = graph::Comparator::dot;
  graph::Loss loss = graph::Loss::softmax;
  graph::Operator op = graph::Operator::none;
  int64_t cols = 0;
  float margin = 0;
  float n3 = 0;
  bool bias = false;
  bool dynamic = false;     ///< operators on both sides, on the ends only
  bool mask_batch = false;  ///< see LossRows
  bool corrupt_lhs = true, corrupt_rhs = true;
  bool own = false;              ///< see OwnEnds
  DType products = DType::fp32;  ///< see Pairs
};

/// Rows [0, edges) of x and y are the ends of the edges, the others uniform candidates.
struct Chunk {
  int64_t edges = 0, lhs = 0, rhs = 0;  ///< rows of x and y
  const float *x = nullptr, *y = nullptr;
  const float* weights = nullptr;  ///< [edges]; null: all 1
  float scale = 1;                 ///< relation's weight
  /// Entities of x and y where the answer's are no negatives, else null; see LossRows.
  const int32_t *x_ids = nullptr, *y_ids = nullptr;
  const uint8_t* loops = nullptr;  ///< [edges], where the model has own ends
  /// Operators: of the right end (both modes), of the left end (dynamic). See OperatorRows.
  const float *rhs_params = nullptr, *lhs_params = nullptr;
  const int32_t* relations = nullptr;  ///< [edges] where every edge has its own operator, else null
  const int32_t* slots = nullptr;      ///< with `relations`: row of the edge's operator gradient
};

/// dx, dy: as x, y, written. Operator gradients: a row per operator of the chunk, written.
struct ChunkGradient {
  float *dx = nullptr, *dy = nullptr;
  float *rhs_params = nullptr, *lhs_params = nullptr;
};

struct ChunkSpace {
  ScoreSpace scores;
  std::vector<float> query, query_gradient, other, other_gradient, own, own_gradient[2];
};

/// Loss with the N3 term, summed over the edges.
double chunk_gradient(const ChunkModel& model, const Chunk& chunk, ChunkSpace& space,
                      const ChunkGradient& out);

}  // namespace meshplan::cpu
