// SPDX-License-Identifier: Apache-2.0
// What the walk asks the cost model: bounds, memory and seconds, each part once.
#include <algorithm>
#include <limits>

#include "planner/search/walk.hpp"

namespace meshplan {

const Walk::Stages* Walk::stages(const Plan& plan) {
  const bool tells = plan.recompute == Recompute::full || plan.recompute_layers >= 0;
  const auto key = std::make_tuple(plan.pp, plan.vpp, plan.schedule,
                                   tells ? plan.recompute : Recompute::none, plan.recompute_layers);
  const auto found = stages_.find(key);
  if (found != stages_.end()) return found->second.get();
  auto& slot = stages_[key];
  auto layout = lay_out_blocks(question_.model, plan, question_.batch.micro_batches(plan));
  if (!layout.ok()) return nullptr;
  slot = std::make_unique<Stages>();
  slot->layout = std::move(layout).value();
  const auto same = [](const Stage& a, const Stage& b) {
    if (a.chunks.size() != b.chunks.size()) return false;
    for (size_t c = 0; c < a.chunks.size(); ++c) {
      const auto &x = a.chunks[c].runs, &y = b.chunks[c].runs;
      if (x.size() != y.size()) return false;
      for (size_t r = 0; r < x.size(); ++r) {
        if (x[r].block != y[r].block || x[r].count != y[r].count) return false;
      }
    }
    return true;
  };
  const std::vector<Stage>& all = slot->layout.stages;
  for (size_t s = 0; s < all.size(); ++s) {
    size_t k = 0;
    while (k < slot->distinct.size() &&
           !same(all[s], all[static_cast<size_t>(slot->distinct[k])])) {
      ++k;
    }
    if (k == slot->distinct.size()) slot->distinct.push_back(static_cast<int>(s));
    slot->kind_of.push_back(static_cast<int>(k));
  }
  return slot.get();
}

const PlanLinks& Walk::links(const Plan& plan) {
  const auto found = links_.find(plan.pp);
  if (found != links_.end()) return found->second.first;
  auto& slot = links_[plan.pp];
  if (auto links = costs_.links(plan, question_.trainer); links.ok()) slot.first = *links;
  // Groups inside a layer lie the same for every pp under the usual rank orders; where they do not,
  // each place is priced by itself.
  slot.second = store_.place(slot.first);
  return slot.first;
}

/// Priced passes of these kinds, in their order.
void Walk::passes(const std::vector<BlockKind>& kinds, const Plan& plan,
                  std::vector<const PassPrice*>& out) {
  const PlanLinks& links = this->links(plan);
  const LowerContext lower{question_.model, plan, question_.batch, question_.trainer};
  store_.prices(links_.at(plan.pp).second, kinds, lower, costs_, links, out);
}

namespace {

/// States do not depend on how passes run.
BlockKind without_passes(BlockKind kind) {
  kind.recomputed = kind.kept = false;
  kind.window = 0;
  return kind;
}

auto state_key(const Plan& plan) {
  return std::make_tuple(plan.zero, plan.reshard_after_forward, plan.dp_shard, plan.dp_replicate,
                         plan.optimizer_offload, plan.pp == 1,
                         plan.schedule == ScheduleKind::interleaved);
}

}  // namespace

const Walk::States& Walk::states(const Plan& plan, const std::vector<BlockKind>& kinds) {
  States& states = states_[state_key(plan)];
  std::vector<const PassPrice*> priced;
  for (const BlockKind& kind : kinds) {
    const BlockKind plain = without_passes(kind);
    if (std::find(states.kinds.begin(), states.kinds.end(), plain) != states.kinds.end()) continue;
    const LowerContext lower{question_.model, plan, question_.batch, question_.trainer};
    states.kinds.push_back(plain);
    passes({kind}, plan, priced);
    states.blocks.push_back(priced.front()->bare);
    lay_out_states(lower, states.blocks.back());
    states.memory.push_back(memory_of(states.blocks.back()));
  }
  return states;
}

size_t Walk::States::index(const BlockKind& kind) const {
  return static_cast<size_t>(std::find(kinds.begin(), kinds.end(), without_passes(kind)) -
                             kinds.begin());
}

const Walk::StateCosts& Walk::state_costs(const Plan& plan, const Stages& stages) {
  StateCosts& costs = state_costs_[{plan.pp, state_key(plan)}];
  if (costs.kinds.empty()) {
    if (auto links = costs_.links(plan, question_.trainer); links.ok()) costs.links = *links;
  }
  for (const BlockKind& each : stages.layout.kinds) {
    const BlockKind kind = without_passes(each);
    if (std::find(costs.kinds.begin(), costs.kinds.end(), kind) != costs.kinds.end()) continue;
    const States& states = this->states(plan, stages.layout.kinds);
    const LowerContext lower{question_.model, plan, question_.batch, question_.trainer};
    const PriceContext context = costs_.context(plan, question_.trainer, costs.links);
    costs.kinds.push_back(kind);
    costs.prices.push_back(std::make_unique<StatePrice>(
        costs_.price_states(lower, states.blocks[states.index(kind)], context)));
  }
  return costs;
}

const Walk::Shardings& Walk::shardings(Plan plan, const Stages& stages,
                                       const std::vector<StateChoice>& choices,
                                       const Legality& legality) {
  const int dp = plan.dp();
  Shardings& all = shardings_[{&stages, dp}];
  if (!all.states.empty()) return all;
  all.states.resize(choices.size());
  all.sums.resize(choices.size());
  const std::vector<BlockKind>& kinds = stages.layout.kinds;
  std::vector<StatePrice> scratch(kinds.size());
  PricedKinds priced;
  for (const StatePrice& state : scratch) priced.states.push_back(&state);
  for (size_t i = legality.first; i < choices.size(); ++i) {
    if (legality.rule[i] != RuleId::none) continue;
    choose_states(plan, choices[i], dp);
    const States& states = this->states(plan, kinds);
    for (size_t k = 0; k < kinds.size(); ++k) {
      const size_t at = states.index(kinds[k]);
      scratch[k].memory = states.memory[at];
      scratch[k].freed = states.blocks[at].parameters_freed;
      scratch[k].reduce_when = states.blocks[at].reduce_when;
    }
    all.states[i] = &states;
    for (const int s : stages.distinct) {
      all.sums[i].push_back(stage_states(stages.layout.stages[static_cast<size_t>(s)], priced));
    }
    if (all.least.empty()) all.least = all.sums[i];
    for (size_t d = 0; d < all.least.size(); ++d) {
      BlockMemory& least = all.least[d];
      const BlockMemory& sum = all.sums[i][d];
      least.parameters = std::min(least.parameters, sum.parameters);
      least.gradients = std::min(least.gradients, sum.gradients);
      least.optimizer = std::min(least.optimizer, sum.optimizer);
      least.gathered = std::min(least.gathered, sum.gathered);
    }
  }
  return all;
}

/// From now on it is about these passes under this schedule.
void Walk::enter(const Plan& plan, const Stages& stages) {
  passes(stages.layout.kinds, plan, passes_);
  held_known_ = false;
}

double Walk::lower_bound(const Stages& stages, const Plan& plan) {
  input_.shape = {plan.schedule, plan.pp, plan.vpp, question_.batch.micro_batches(plan),
                  plan.schedule_group};
  input_.times.clear();
  input_.first_forward_s.clear();
  input_.last_backward_s.clear();
  input_.p2p_s = 0;
  for (const Stage& stage : stages.layout.stages) {
    for (const Chunk& chunk : stage.chunks) {
      ChunkTimes sum;
      for (const BlockRun& run : chunk.runs) {
        const PassPrice& price = *passes_[static_cast<size_t>(run.block)];
        const auto n = static_cast<double>(run.count);
        sum.forward += n * price.forward.wall;
        sum.backward += n * price.backward.wall;
        sum.input_gradient += n * price.backward.wall;
        sum.weight_gradient += n * price.weight.wall;
      }
      input_.times.push_back(sum);
    }
  }
  return pipeline_lower_bound(input_);
}

/// Stages that may be the fullest, with their states. `states` null: without whole weights and
/// gradients that come and go, which only add.
const std::vector<HeldStage>& Walk::held(const Plan& plan, const Stages& stages,
                                         const States* states,
                                         const std::vector<BlockMemory>& sums) {
  const std::vector<BlockKind>& kinds = stages.layout.kinds;
  wanted_.assign(kinds.size(), {});
  if (states != nullptr && plan.zero >= 2) {
    for (size_t k = 0; k < kinds.size(); ++k) {
      const size_t at = states->index(kinds[k]);
      const BlockMemory& memory = states->memory[at];
      const Block& block = states->blocks[at];
      wanted_[k] = {block.parameters_freed, memory.gathered, memory.whole_gradients,
                    block.reduce_when};
    }
  }
  if (!held_known_ || wanted_ != held_for_) {
    held_known_ = true;
    held_for_ = wanted_;
    held_.clear();
    std::vector<StatePrice> scratch(kinds.size());
    PricedKinds priced;
    for (size_t k = 0; k < kinds.size(); ++k) {
      scratch[k].freed = wanted_[k].freed;
      scratch[k].memory.gathered = wanted_[k].gathered;
      scratch[k].memory.whole_gradients = wanted_[k].whole_gradients;
      scratch[k].reduce_when = wanted_[k].reduce_when;
      priced.states.push_back(&scratch[k]);
    }
    priced.passes = passes_;
    const ScheduleShape shape{plan.schedule, plan.pp, plan.vpp, question_.batch.micro_batches(plan),
                              plan.schedule_group};
    const LowerContext lower{question_.model, plan, question_.batch, question_.trainer};
    // Without a V in the schedule the first stage of each kind has the most in flight.
    const bool all = splits_backward(plan.schedule);
    std::vector<std::vector<ChunkBytes>> chunks(stages.distinct.size());
    for (size_t s = 0; s < stages.kind_of.size(); ++s) {
      const auto kind = static_cast<size_t>(stages.kind_of[s]);
      if (!all && stages.distinct[kind] != static_cast<int>(s)) continue;
      if (chunks[kind].empty()) {
        chunks[kind] = stage_chunks(stages.layout.stages[s], priced, question_.trainer);
      }
      const auto index = static_cast<int>(s);
      held_.push_back({index, peak_saved(shape, index, chunks[kind]),
                       largest_temporary(chunks[kind]), bytes_on_host(chunks[kind]),
                       received_bytes(lower, shape, index), nullptr});
    }
  }
  for (HeldStage& stage : held_) {
    stage.states = &sums[static_cast<size_t>(stages.kind_of[static_cast<size_t>(stage.stage)])];
  }
  return held_;
}

/// What the states alone take, activations left out.
MemoryEstimate Walk::states_alone(const Plan& plan, const std::vector<BlockMemory>& sums) {
  std::vector<HeldStage> stages;
  stages.reserve(sums.size());
  for (const BlockMemory& sum : sums) stages.push_back({0, 0, 0, 0, 0, &sum});
  return memory_of(stages, plan, question_.batch.micro_batches(plan), question_.trainer,
                   costs_.cluster(), costs_.constants());
}

MemoryEstimate Walk::needed(const Plan& plan, const Stages& stages, const States* states,
                            const std::vector<BlockMemory>& sums) {
  return memory_of(held(plan, stages, states, sums), plan, question_.batch.micro_batches(plan),
                   question_.trainer, costs_.cluster(), costs_.constants());
}

double Walk::price(const Plan& plan, const Stages& stages) {
  const StateCosts& states = state_costs(plan, stages);
  const LowerContext lower{question_.model, plan, question_.batch, question_.trainer};
  PricedKinds priced{passes_, {}};
  for (const BlockKind& kind : stages.layout.kinds) {
    const auto at = std::find(states.kinds.begin(), states.kinds.end(), without_passes(kind));
    priced.states.push_back(states.prices[static_cast<size_t>(at - states.kinds.begin())].get());
  }
  const ScheduleShape shape{plan.schedule, plan.pp, plan.vpp, question_.batch.micro_batches(plan),
                            plan.schedule_group};
  std::vector<StagePrice> distinct;
  distinct.reserve(stages.distinct.size());
  for (const int s : stages.distinct) {
    distinct.push_back(compose_stage(stages.layout.stages[static_cast<size_t>(s)], priced,
                                     question_.trainer, shape,
                                     costs_.constants().overlap_slowdown));
  }
  std::vector<const StagePrice*> all;
  for (const int kind : stages.kind_of) all.push_back(&distinct[static_cast<size_t>(kind)]);
  const PipelineInput input = pipeline_input(costs_, lower, states.links, all);
  const double timeline = pipeline_recurrence(input);
  return timeline + step_end(costs_, lower, states.links, all, timeline).sum();
}

}  // namespace meshplan
