// SPDX-License-Identifier: Apache-2.0
#include "planner/search/seeds.hpp"

#include <algorithm>
#include <set>

namespace meshplan {
namespace {

/// value * to / from if that is whole and at least one, else 0.
int scaled(int value, int64_t to, int64_t from) {
  const int64_t product = value * to;
  return product % from == 0 ? static_cast<int>(product / from) : 0;
}

/// The seed on `gpus` GPUs; degrees of 0 where it cannot be scaled that way.
std::vector<Plan> rescaled(const Plan& seed, int64_t gpus) {
  const int64_t before = seed.world();
  if (before == gpus) return {seed};
  std::vector<Plan> out(5, seed);
  out[0].dp_shard = scaled(seed.dp_shard, gpus, before);
  out[1].dp_replicate = scaled(seed.dp_replicate, gpus, before);
  out[2].pp = scaled(seed.pp, gpus, before);
  out[3].tp = scaled(seed.tp, gpus, before);
  out[4].cp = scaled(seed.cp, gpus, before);
  return out;
}

template <class Choice, class Same>
bool among(const std::vector<Choice>& choices, Same same) {
  return std::any_of(choices.begin(), choices.end(), same);
}

/// Its choice of tp, cp and ep, if the search comes across this plan.
const PassChoice* enumerated(const SearchQuestion& question, const std::vector<PassChoice>& choices,
                             Plan& plan) {
  const auto choice = std::find_if(choices.begin(), choices.end(), [&](const PassChoice& c) {
    return c.tp == plan.tp && (plan.tp == 1 || c.sequence_parallel == plan.sequence_parallel) &&
           c.cp == plan.cp && (plan.cp == 1 || c.cp_kind == plan.cp_kind) && c.ep == plan.ep &&
           c.etp == plan.etp;
  });
  const int64_t dp = plan.dp(), sequences = question.batch.global_sequences;
  if (choice == choices.end() || plan.pp < 1 || dp < 1 || plan.world() != question.cluster.gpus() ||
      plan.pp > question.model.layers + 2 || !question.pp.allows(plan.pp) ||
      !question.dp.allows(dp) || sequences % dp != 0) {
    return nullptr;
  }
  const auto sizes = micro_batch_choices(question, sequences / dp);
  if (std::find(sizes.begin(), sizes.end(), plan.micro_batch) == sizes.end()) return nullptr;
  const int64_t micro_batches = question.batch.micro_batches(plan);
  if (plan.schedule_group > 0) plan.schedule_group = static_cast<int>(micro_batches);
  const bool found =
      among(recompute_choices(question),
            [&](const RecomputeChoice& c) {
              return c.kind == plan.recompute && c.modules == plan.recompute_modules &&
                     recomputed_layers(c.share, question.model.layers, plan) ==
                         plan.recompute_layers;
            }) &&
      among(schedule_choices(question, plan.pp, micro_batches),
            [&](const ScheduleChoice& c) {
              return c.kind == plan.schedule && c.vpp == plan.vpp && c.group == plan.schedule_group;
            }) &&
      among(state_choices(question, static_cast<int>(dp), plan.cp), [&](const StateChoice& c) {
        return c.zero == plan.zero && c.reshard == plan.reshard_after_forward &&
               c.replicate == plan.dp_replicate && c.offload == plan.optimizer_offload;
      });
  return found ? &*choice : nullptr;
}

}  // namespace

std::vector<std::pair<PassChoice, Plan>> plans_like(const SearchQuestion& question) {
  std::vector<std::pair<PassChoice, Plan>> out;
  if (question.seeds.empty()) return out;
  const std::vector<PassChoice> choices = pass_choices(question);
  std::set<std::string> known;
  for (const Plan& seed : question.seeds) {
    for (Plan plan : rescaled(seed, question.cluster.gpus())) {
      plan.compute = question.compute;
      plan.gradient = gradient_of(question.trainer, plan.compute);
      plan.layer_split = question.layer_split;
      const PassChoice* choice = enumerated(question, choices, plan);
      if (choice != nullptr && known.insert(to_text(plan)).second) out.emplace_back(*choice, plan);
    }
  }
  return out;
}

}  // namespace meshplan
