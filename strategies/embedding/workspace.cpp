// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "strategies/embedding/plan.hpp"

namespace meshplan::graph {

int64_t workspace_bytes(const Workload& w, const GraphPlan& plan, int64_t trainers,
                        int64_t spaces) {
  constexpr int64_t kFloat = 4, kTouch = 12, kGroup = 24, kId = 4;
  const int64_t chunk = w.negatives.batch > 0 ? w.negatives.batch : w.negatives.uniform;
  const int64_t chunks = (w.batch + chunk - 1) / chunk, d = w.dimension;
  const auto rows_of = [&](bool corrupted) { return corrupted ? w.negatives.uniform : 0; };
  const int64_t drawn = rows_of(w.negatives.lhs) + rows_of(w.negatives.rhs);
  const int64_t ids = 2 * w.batch + chunks * drawn;
  int64_t parameters = 0, operated = 0;
  for (const RelationType& relation : w.relations) {
    parameters = std::max(parameters, parameters_of(relation.op, d));
    if (relation.op != Operator::none) operated = 1;
  }
  if (w.dynamic_relations) parameters *= 2;
  const int64_t operator_rows = w.batches_mix_relations() ? w.batch : chunks;
  const int64_t candidates = chunk + w.negatives.uniform;
  // The loaded rows of a type have a place each.
  const int64_t places = plan.resident * rows_of_partition(w, plan.partitions - 1, plan.partitions);
  // The sum of a row that several chunks of the batch draw waits for the last of them: rows as if
  // drawn uniformly.
  const auto c = static_cast<double>(chunks);
  const auto rows = static_cast<double>(std::max<int64_t>(1, places));
  const double none = std::exp(-static_cast<double>(ids) / (c * rows));  // of one chunk
  const double sole = c * (1 - none) * std::pow(none, c - 1);
  const auto kept = static_cast<int64_t>(rows * (1 - std::pow(none, c) - sole));
  const int64_t of_trainer = ids * (kId + kTouch + kGroup) + kept * d * kFloat +
                             operator_rows * parameters * kFloat + places * kId;

  const int64_t own = w.negatives.other_end ? 1 : 0;
  // Dynamic relations operate on the ends only, plain ones on all right candidates.
  const int64_t moved = w.dynamic_relations ? 3 * chunk : 2 * chunk + operated * 2 * candidates;
  int64_t values = (4 * candidates + moved + own * 3 * chunk) * d;
  const int64_t scores = chunk * (candidates + own);
  values += w.comparator == Comparator::l2 ? 2 * scores : scores;
  if (plan.compute == DType::bf16)  // rounded operands of the products, half a value each
    values += ((chunk + candidates) * d + chunk * candidates) / 2;
  if (w.comparator == Comparator::cos) values += (chunk + candidates + own * chunk) * d;
  return trainers * of_trainer + spaces * values * kFloat;
}

int64_t DeviceScratch::total() const {
  int64_t sum = ids + relations + weights + gradient + operated_gradient + scores + losses + sort +
                narrow_scores + chunks;
  for (const int end : {0, 1})
    sum += operator_gradient[end] + rows[end] + operated[end] + query_gradient[end] +
           narrow_rows[end] + narrow_operated[end];
  return sum;
}

DeviceScratch device_scratch(const Workload& w, DType compute) {
  constexpr int64_t kFloat = 4, kId = 4;
  // Places, positions, sorted ids, and a second pair of ids and positions inside the sort.
  constexpr int64_t kSort = 5 * kId;
  const int64_t chunk = w.negatives.batch > 0 ? w.negatives.batch : w.negatives.uniform;
  const int64_t edges = std::min(chunk, w.batch), chunks = (w.batch + chunk - 1) / chunk;
  const int64_t queries = chunks * edges, row = kFloat * w.dimension;
  const int64_t narrow = compute == DType::bf16 ? 2 : 0;  // bytes a value
  int64_t parameters = 0;
  bool operated = false;
  for (const RelationType& one : w.relations) {
    parameters = std::max(parameters, parameters_of(one.op, w.dimension));
    operated = operated || one.op != Operator::none;
  }
  DeviceScratch out;
  int64_t all = 0, slots = 0;
  for (const int end : {0, 1}) {
    const bool corrupted = end == 0 ? w.negatives.lhs : w.negatives.rhs;
    const int64_t own = device_slots(edges + (corrupted ? w.negatives.uniform : 0));
    const int64_t rows = chunks * own;
    // Dynamic relations operate on the ends only, plain ones on all right candidates.
    const int64_t moved = w.dynamic_relations ? queries : operated && end == 1 ? rows : 0;
    all += rows;
    slots = std::max(slots, own);
    out.rows[end] = rows * row;
    out.narrow_rows[end] = rows * w.dimension * narrow;
    out.operated[end] = narrow > 0 ? 0 : moved * row;  // products alone read them
    out.narrow_operated[end] = moved * w.dimension * narrow;
    out.query_gradient[end] = queries * row;
    if (w.dynamic_relations || end == 1)
      out.operator_gradient[end] =
          kFloat * parameters * (w.batches_mix_relations() ? queries : chunks);
    if (operated && !w.dynamic_relations && end == 1) out.operated_gradient = rows * row;
  }
  out.ids = kId * all;
  out.relations = kId * queries;
  out.weights = w.data.weight_column >= 0 ? kFloat * queries : 0;
  out.gradient = all * row;
  out.scores = kFloat * queries * slots;
  out.narrow_scores = narrow * queries * slots;
  out.losses = kFloat * queries;
  out.sort = kSort * all;
  out.chunks = kId * chunks;
  return out;
}

}  // namespace meshplan::graph
