// SPDX-License-Identifier: Apache-2.0
#include "planner/scale/size.hpp"

#include <algorithm>
#include <set>

namespace meshplan {

Result<SizeAnswer> size_for(const SizeQuestion& question, const ScaleInputs& inputs,
                            SearchMemory& memory) {
  SizeAnswer out;
  out.question = question;
  const double target = question.days * 86'400;
  ScaleInputs alone = inputs;
  alone.with_baselines = false;
  std::vector<Plan> seeds;
  const auto point_of = [&](int64_t gpus) {
    SearchQuestion search = question.search;
    if (!question.batch_stated)
      search.batch.global_sequences = question.batch_of(search.batch.sequence, gpus);
    return scale_point(std::move(search), gpus, alone, {seeds}, memory);
  };
  const auto meets = [&](const ScalePoint& p) { return p.best && p.best->train_s <= target; };
  const auto safely = [&](const ScalePoint& p) { return p.best && p.best->train_high_s <= target; };
  std::optional<int64_t> first_met, first_safe;
  for (int64_t gpus = 1; gpus <= question.most_gpus && !first_safe; gpus *= 2) {
    MESHPLAN_TRY(ScalePoint point, point_of(gpus));
    if (point.best) seeds = point.best->finalists;
    if (meets(point) && !first_met) first_met = gpus;
    if (safely(point)) first_safe = gpus;
    out.tried.push_back(std::move(point));
  }
  std::set<int64_t> between;
  const int64_t node = question.search.cluster.gpus_per_node;
  for (const auto& end : {first_met, first_safe}) {
    if (!end) continue;
    for (int64_t eighth = 9; eighth < 16; ++eighth) {
      const int64_t gpus = *end / 2 * eighth / 8;
      // Where one GPU is enough, nothing lies below it: half of it counts as 0.
      if (gpus > 0 && *end / 2 * eighth % 8 == 0 && (gpus % node == 0 || gpus < node))
        between.insert(gpus);
    }
  }
  for (const int64_t gpus : between) {
    MESHPLAN_TRY(ScalePoint point, point_of(gpus));
    out.tried.push_back(std::move(point));
  }
  std::sort(out.tried.begin(), out.tried.end(),
            [](const ScalePoint& a, const ScalePoint& b) { return a.gpus < b.gpus; });
  for (size_t i = 0; i < out.tried.size(); ++i) {
    if (!out.chosen && meets(out.tried[i])) out.chosen = i;
    if (!out.safe && safely(out.tried[i])) out.safe = i;
  }
  out.tokens = inputs.tokens > 0 ? inputs.tokens
                                 : inputs.prices.tokens_per_parameter *
                                       static_cast<double>(parameters(question.search.model));
  return out;
}

}  // namespace meshplan
