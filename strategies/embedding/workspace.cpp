// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "strategies/embedding/plan.hpp"

namespace meshplan::graph {

int64_t workspace_bytes(const Workload& w, const GraphPlan& plan, int64_t trainers,
                        int64_t spaces) {
  constexpr int64_t kFloat = 4, kTouch = 12, kGroup = 20, kId = 4;
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
  // Gradients of a row that other chunks of the batch draw, too, wait for its end: rows as if drawn
  // uniformly.
  const double others = static_cast<double>(ids) * (1 - 1 / static_cast<double>(chunks));
  const double again = 1 - std::exp(-others / static_cast<double>(std::max<int64_t>(1, places)));
  const auto kept = static_cast<int64_t>(static_cast<double>(ids) * again);
  const int64_t of_trainer = ids * (kId + kTouch + kGroup) + kept * d * kFloat +
                             operator_rows * parameters * kFloat + places * kId;

  const int64_t own = w.negatives.other_end ? 1 : 0;
  // Dynamic relations operate on the ends only, plain ones on all right candidates.
  const int64_t moved = w.dynamic_relations ? 4 * chunk : 2 * chunk + operated * 2 * candidates;
  int64_t values = (4 * candidates + moved + own * 3 * chunk) * d;
  const int64_t scores = chunk * (candidates + own);
  values += w.comparator == Comparator::l2 ? 2 * scores : scores;
  if (plan.compute == DType::bf16)  // rounded operands of the products, half a value each
    values += ((chunk + candidates) * d + chunk * candidates) / 2;
  if (w.comparator == Comparator::cos) values += (chunk + candidates + own * chunk) * d;
  return trainers * of_trainer + spaces * values * kFloat;
}

}  // namespace meshplan::graph
