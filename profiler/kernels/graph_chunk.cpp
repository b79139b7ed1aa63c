// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/graph_chunk.hpp"

#include <algorithm>

#include "profiler/kernels/graph_rows.hpp"

namespace meshplan::cpu {
namespace {

float* sized(std::vector<float>& buffer, int64_t count) {
  if (static_cast<int64_t>(buffer.size()) < count) buffer.resize(static_cast<size_t>(count));
  return buffer.data();
}

OperatorRows operator_rows(const ChunkModel& model, const Chunk& chunk, const float* params) {
  const int64_t stride = graph::parameters_of(model.op, model.cols);
  return {.op = model.op,
          .cols = model.cols,
          .params = params,
          .stride = chunk.relations != nullptr ? stride : 0,
          .index = chunk.relations,
          .slots = chunk.slots};
}

/// One side: its queries, its candidates, and the other ends of the queries.
struct Asked {
  bool corrupted;
  int64_t candidates;
  const float *q, *k;
  const int32_t* ids;
  const float* own;
  float *dq, *dk, *down;
};

/// Everything of one side; a side that is not corrupted has no gradient.
double side(const ChunkModel& model, const Chunk& chunk, const Asked& a, ChunkSpace& space) {
  if (!a.corrupted) {
    std::fill_n(a.dq, chunk.edges * model.cols, 0.0F);
    std::fill_n(a.dk, a.candidates * model.cols, 0.0F);
    if (model.own) std::fill_n(a.down, chunk.edges * model.cols, 0.0F);
    return 0;
  }
  const ScoreShape shape{model.comparator, model.bias, chunk.edges,
                         a.candidates,     model.cols, model.products};
  const LossRows loss{.loss = model.loss,
                      .margin = model.margin,
                      .mask_batch = model.mask_batch,
                      .ids = a.ids,
                      .own = model.own,
                      .loops = chunk.loops,
                      .weights = chunk.weights,
                      .scale = chunk.scale};
  const OwnEnds own{model.own ? a.own : nullptr, a.down};
  return side_gradient(shape, loss, a.q, a.k, own, space.scores, a.dq, a.dk);
}

/// Reciprocal relations: corrupted heads against g(y), corrupted tails against h(x).
double dynamic_sides(const ChunkModel& model, const Chunk& chunk, ChunkSpace& space,
                     const ChunkGradient& out) {
  const int64_t ends = chunk.edges * model.cols;
  float* query = sized(space.query, ends);  // of one side, then of the other
  float* dquery = sized(space.query_gradient, ends);
  float* dother = sized(space.other_gradient, ends);
  float* own_y = model.own ? sized(space.own_gradient[0], ends) : nullptr;
  float* own_x = model.own ? sized(space.own_gradient[1], ends) : nullptr;
  const OperatorRows right = operator_rows(model, chunk, chunk.rhs_params);
  const OperatorRows left = operator_rows(model, chunk, chunk.lhs_params);
  apply_operator(right, chunk.edges, chunk.y, query);
  double loss = side(
      model, chunk,
      {model.corrupt_lhs, chunk.lhs, query, chunk.x, chunk.x_ids, chunk.y, dquery, out.dx, own_y},
      space);
  apply_operator(left, chunk.edges, chunk.x, query);
  loss += side(
      model, chunk,
      {model.corrupt_rhs, chunk.rhs, query, chunk.y, chunk.y_ids, chunk.x, dother, out.dy, own_x},
      space);
  if (model.own) {
    add_row(ends, own_y, out.dy);
    add_row(ends, own_x, out.dx);
  }
  operator_gradient(right, chunk.edges, chunk.y, dquery, {.x = true}, out.dy, out.rhs_params);
  operator_gradient(left, chunk.edges, chunk.x, dother, {.x = true}, out.dx, out.lhs_params);
  return loss;
}

/// One relation, its operator on every right end and right candidate.
double plain_sides(const ChunkModel& model, const Chunk& chunk, ChunkSpace& space,
                   const ChunkGradient& out) {
  const int64_t rows = chunk.rhs * model.cols, ends = chunk.edges * model.cols;
  const bool moved = model.op != graph::Operator::none;
  const OperatorRows right = operator_rows(model, chunk, chunk.rhs_params);
  float* operated = moved ? sized(space.other, rows) : nullptr;
  if (moved) apply_operator(right, chunk.rhs, chunk.y, operated);
  const float* y = moved ? operated : chunk.y;
  float* dy = moved ? sized(space.other_gradient, rows) : out.dy;
  float* dq_lhs = sized(space.query_gradient, ends);  // of g(y), from corrupted heads
  float* dq_rhs = sized(space.query, ends);           // of x, from corrupted tails
  float* own_y = model.own ? sized(space.own_gradient[0], ends) : nullptr;
  float* own_x = model.own ? sized(space.own_gradient[1], ends) : nullptr;
  const float* x = chunk.x;  // as a right end
  if (model.own && moved) {
    float* operated_x = sized(space.own, ends);
    apply_operator(right, chunk.edges, chunk.x, operated_x);
    x = operated_x;
  }
  double loss =
      side(model, chunk,
           {model.corrupt_lhs, chunk.lhs, y, chunk.x, chunk.x_ids, chunk.y, dq_lhs, out.dx, own_y},
           space);
  loss +=
      side(model, chunk,
           {model.corrupt_rhs, chunk.rhs, chunk.x, y, chunk.y_ids, x, dq_rhs, dy, own_x}, space);
  add_row(ends, dq_lhs, dy);
  add_row(ends, dq_rhs, out.dx);
  if (moved) operator_gradient(right, chunk.rhs, chunk.y, dy, {}, out.dy, out.rhs_params);
  if (!model.own) return loss;
  add_row(ends, own_y, out.dy);
  if (moved)
    operator_gradient(right, chunk.edges, chunk.x, own_x, {.x = true, .params = true}, out.dx,
                      out.rhs_params);
  else
    add_row(ends, own_x, out.dx);
  return loss;
}

/// Ends count once a corrupted side, operators once where they act (as PBG counts them).
double regularise(const ChunkModel& model, const Chunk& chunk, const ChunkGradient& out) {
  const bool halves = model.op == graph::Operator::complex_diagonal;
  const float twice = model.dynamic ? 2 * model.n3 : model.n3;
  const int64_t p = graph::parameters_of(model.op, model.cols);
  double sum = 0;
  for (int64_t i = 0; i < chunk.edges; ++i) {
    const int64_t at = i * model.cols;
    sum += add_n3(model.cols, halves, twice, chunk.x + at, out.dx + at);
    sum += add_n3(model.cols, halves, twice, chunk.y + at, out.dy + at);
    if (p == 0) continue;
    const bool own = chunk.relations != nullptr;
    const int64_t from = own ? chunk.relations[i] * p : 0, to = own ? chunk.slots[i] * p : 0;
    sum += add_n3(p, halves, model.n3, chunk.rhs_params + from, out.rhs_params + to);
    if (model.dynamic)
      sum += add_n3(p, halves, model.n3, chunk.lhs_params + from, out.lhs_params + to);
  }
  return sum;
}

}  // namespace

double chunk_gradient(const ChunkModel& model, const Chunk& chunk, ChunkSpace& space,
                      const ChunkGradient& out) {
  double loss = model.dynamic ? dynamic_sides(model, chunk, space, out)
                              : plain_sides(model, chunk, space, out);
  if (model.n3 > 0) loss += regularise(model, chunk, out);
  return loss;
}

}  // namespace meshplan::cpu
