// SPDX-License-Identifier: Apache-2.0
#include "planner/search/walk.hpp"

#include <algorithm>
#include <limits>

namespace meshplan {
namespace {

/// Rules that another layout of the states may satisfy.
bool concerns_states(RuleId rule) {
  return rule == RuleId::zero_level || rule == RuleId::hybrid_shard ||
         rule == RuleId::optimizer_offload || rule == RuleId::zero_1_with_pipeline ||
         rule == RuleId::fully_sharded_only || rule == RuleId::degrees;
}

constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

Walk::Walk(const SearchQuestion& question, const CostModel& costs, const RuleChecker& rules)
    : question_(question), costs_(costs), rules_(rules) {}

const Walk::Stages* Walk::stages(const Plan& plan) {
  const auto key = std::make_tuple(plan.pp, plan.vpp, static_cast<int>(plan.schedule),
                                   plan.recompute == Recompute::full);
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
  auto& slot = links_[plan.pp];
  if (!slot) {
    auto links = costs_.links(plan, question_.trainer);
    slot = std::make_unique<PlanLinks>(links.ok() ? std::move(links).value() : PlanLinks{});
  }
  return *slot;
}

const PassPrice& Walk::pass(const BlockKind& kind, const Plan& plan) {
  // Groups inside a layer lie the same for every pp under the usual rank orders; where they do not,
  // each placement is priced by itself.
  const PlanLinks& links = this->links(plan);
  size_t placement = 0;
  const auto same = [&](const PlanLinks* other) {
    for (const Group group : {Group::tp, Group::cp, Group::ep, Group::etp}) {
      const auto g = static_cast<size_t>(group);
      if (!(other->dims[g] == links.dims[g])) return false;
    }
    return true;
  };
  while (placement < placements_.size() && !same(placements_[placement])) ++placement;
  if (placement == placements_.size()) placements_.push_back(&links);
  Passes& passes =
      passes_[{static_cast<int>(placement), plan.micro_batch, static_cast<int>(plan.recompute),
               plan.recompute_modules, splits_backward(plan.schedule)}];
  for (size_t i = 0; i < passes.kinds.size(); ++i) {
    if (passes.kinds[i] == kind) return *passes.prices[i];
  }
  const LowerContext lower{question_.model, plan, question_.batch, question_.trainer};
  const PriceContext context = costs_.context(plan, question_.trainer, links);
  passes.kinds.push_back(kind);
  passes.prices.push_back(std::make_unique<PassPrice>(costs_.price_passes(lower, kind, context)));
  return *passes.prices.back();
}

Walk::States& Walk::states(const Plan& plan, const std::vector<BlockKind>& kinds) {
  States& states = states_[{plan.zero, plan.reshard_after_forward, plan.dp_shard, plan.dp_replicate,
                            plan.optimizer_offload, plan.pp == 1}];
  for (const BlockKind& kind : kinds) {
    BlockKind plain = kind;  // states do not depend on how passes run
    plain.recomputed = false;
    plain.window = 0;
    if (std::find(states.kinds.begin(), states.kinds.end(), plain) != states.kinds.end()) continue;
    const LowerContext lower{question_.model, plan, question_.batch, question_.trainer};
    states.kinds.push_back(plain);
    states.blocks.push_back(pass(kind, plan).bare);
    lay_out_states(lower, states.blocks.back());
    states.memory.push_back(memory_of(states.blocks.back()));
  }
  return states;
}

size_t Walk::States::index(BlockKind kind) const {
  kind.recomputed = false;
  kind.window = 0;
  return static_cast<size_t>(std::find(kinds.begin(), kinds.end(), kind) - kinds.begin());
}

double Walk::lower_bound(const Stages& stages, const Plan& plan) {
  const auto& kinds = stages.layout.kinds;
  walls_.clear();
  for (const BlockKind& kind : kinds) {
    const PassPrice& price = pass(kind, plan);
    walls_.push_back(
        {price.forward.wall, price.backward.wall, price.backward.wall, price.weight.wall});
  }
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
        const ChunkTimes& wall = walls_[static_cast<size_t>(run.block)];
        const auto n = static_cast<double>(run.count);
        sum.forward += n * wall.forward;
        sum.backward += n * wall.backward;
        sum.input_gradient += n * wall.input_gradient;
        sum.weight_gradient += n * wall.weight_gradient;
      }
      input_.times.push_back(sum);
    }
  }
  return pipeline_lower_bound(input_);
}

bool Walk::fits(const Plan& plan, const Stages& stages, int64_t& bytes) {
  const auto& kinds = stages.layout.kinds;
  States& states = this->states(plan, kinds);
  PricedKinds priced;
  scratch_.clear();
  scratch_.resize(kinds.size());
  for (size_t k = 0; k < kinds.size(); ++k) {
    const size_t at = states.index(kinds[k]);
    scratch_[k].memory = states.memory[at];
    scratch_[k].freed = states.blocks[at].parameters_freed;
    priced.passes.push_back(&pass(kinds[k], plan));
    priced.states.push_back(&scratch_[k]);
  }
  const ScheduleShape shape{plan.schedule, plan.pp, plan.vpp, question_.batch.micro_batches(plan),
                            plan.schedule_group};
  // Activations stay what they are from one layout of the states to the next unless whole weights
  // or gradients come and go.
  if (plan.zero >= 2 || !activations_known_) {
    activations_.clear();
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
      activations_.push_back({index, peak_saved(shape, index, chunks[kind]),
                              largest_temporary(chunks[kind]), nullptr});
    }
    activations_known_ = plan.zero < 2;
  }
  std::vector<BlockMemory> sums(stages.distinct.size());
  for (size_t kind = 0; kind < sums.size(); ++kind) {
    const auto s = static_cast<size_t>(stages.distinct[kind]);
    sums[kind] = stage_states(stages.layout.stages[s], priced);
  }
  std::vector<HeldStage> held = activations_;
  for (HeldStage& stage : held) {
    stage.states = &sums[static_cast<size_t>(stages.kind_of[static_cast<size_t>(stage.stage)])];
  }
  const MemoryEstimate memory = memory_of(held, plan, shape.micro_batches, question_.trainer,
                                          costs_.cluster(), costs_.constants());
  bytes = memory.fits_device() ? 0 : memory.peak_bytes;
  return memory.fits();
}

double Walk::price(const Plan& plan, const Stages& stages) {
  const auto links = costs_.links(plan, question_.trainer);
  if (!links.ok()) return kNever;
  const LowerContext lower{question_.model, plan, question_.batch, question_.trainer};
  const PriceContext context = costs_.context(plan, question_.trainer, *links);
  States& states = this->states(plan, stages.layout.kinds);
  std::vector<StatePrice> prices;
  prices.reserve(stages.layout.kinds.size());
  PricedKinds priced;
  for (const BlockKind& kind : stages.layout.kinds) {
    prices.push_back(costs_.price_states(lower, states.blocks[states.index(kind)], context));
    priced.passes.push_back(&pass(kind, plan));
    priced.states.push_back(&prices.back());
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
  const PipelineInput input = pipeline_input(costs_, lower, *links, all);
  const double timeline = pipeline_recurrence(input);
  return timeline + step_end(costs_, lower, *links, all, timeline).sum();
}

void Walk::keep(double seconds, const Plan& plan) {
  auto& best = result_.best;
  if (best.size() >= limits_.keep && seconds >= best.back().seconds) return;
  const auto at = std::upper_bound(best.begin(), best.end(), seconds,
                                   [](double s, const Candidate& c) { return s < c.seconds; });
  best.insert(at, {seconds, plan});
  if (best.size() > limits_.keep) best.pop_back();
}

double Walk::cutoff() const {
  if (!question_.bounds) return kNever;
  const bool full = result_.best.size() >= limits_.keep;
  return full ? std::min(limits_.cutoff_s, result_.best.back().seconds) : limits_.cutoff_s;
}

/// One of `count` plans stands for all of them.
void Walk::cut(int64_t count, bool refused) {
  result_.funnel.covered += count;
  if (refused) return;  // the one that was checked has been counted
  ++result_.funnel.visited;
  ++result_.funnel.bounded;
}

void Walk::visit(const Plan& plan, const Stages& stages, double bound) {
  ++result_.funnel.visited;
  ++result_.funnel.covered;
  const RuleId rule = rules_.check(plan);
  if (rule != RuleId::none) {
    ++refused_[static_cast<size_t>(rule)];
    return;
  }
  if (slower(bound)) {
    ++result_.funnel.bounded;
    return;
  }
  int64_t bytes = 0;
  if (!fits(plan, stages, bytes)) {
    ++result_.funnel.out_of_memory;
    if (bytes > 0 && (!result_.leanest || bytes < result_.leanest_bytes)) {
      result_.leanest = plan;
      result_.leanest_bytes = bytes;
    }
    return;
  }
  ++result_.funnel.priced;
  keep(price(plan, stages), plan);
}

void Walk::below(Plan& plan, const std::vector<RecomputeChoice>& recompute) {
  const int64_t micro_batches = question_.batch.micro_batches(plan);
  const auto schedules = schedule_choices(question_, plan.pp, micro_batches);
  const int dp = plan.dp_shard * plan.dp_replicate;
  const auto states = state_choices(question_, dp);
  const auto all_states = static_cast<int64_t>(states.size());
  const auto reset = [&](const StateChoice& state) {
    plan.zero = state.zero;
    plan.reshard_after_forward = state.reshard;
    plan.dp_replicate = state.replicate;
    plan.dp_shard = dp / state.replicate;
    plan.optimizer_offload = state.offload;
  };
  for (const ScheduleChoice& schedule : schedules) {
    plan.schedule = schedule.kind;
    plan.vpp = schedule.vpp;
    plan.schedule_group = schedule.group;
    double unaided = 0;  // bound without recompute, which only adds work
    for (const RecomputeChoice& choice : recompute) {
      plan.recompute = choice.kind;
      plan.recompute_modules = choice.modules;
      // What no choice of states can mend, and what is too slow whatever they are, is cut in bulk.
      const StateChoice* legal = nullptr;
      for (const StateChoice& state : states) {
        reset(state);
        const RuleId rule = rules_.check(plan);
        if (rule == RuleId::none) {
          legal = &state;
          break;
        }
        ++result_.funnel.visited;
        ++refused_[static_cast<size_t>(rule)];
        if (!concerns_states(rule)) break;
      }
      if (legal == nullptr || slower(unaided)) {
        cut(all_states, legal == nullptr);
        continue;
      }
      const Stages* stages = this->stages(plan);
      if (stages == nullptr) {
        cut(all_states, true);
        continue;
      }
      const double bound = lower_bound(*stages, plan);
      if (choice.kind == Recompute::none) unaided = bound;
      if (slower(bound)) {
        cut(all_states, false);
        continue;
      }
      activations_known_ = false;
      for (const StateChoice* state = legal; state != states.data() + states.size(); ++state) {
        reset(*state);
        visit(plan, *stages, bound);
      }
    }
  }
  plan.dp_shard = dp;
  plan.dp_replicate = 1;
}

double Walk::unit_bound(const PassChoice& choice) {
  Plan plan = plan_of(choice);
  const int64_t rest = question_.cluster.gpus() / (int64_t{choice.tp} * choice.cp);
  plan.dp_shard = static_cast<int>(rest);
  double best = kNever;
  // Work of one GPU if all of it were layers, perfectly spread: no plan of the unit is faster.
  for (int64_t size = 1; size <= question_.batch.global_sequences && size <= 8; size *= 2) {
    plan.micro_batch = static_cast<int>(size);
    double work = 0;
    for (const LayerKind layer : {LayerKind::dense, LayerKind::moe}) {
      const int64_t count = layers_of(question_.model, layer);
      if (count == 0) continue;
      const PassPrice& price =
          pass({BlockKind::Role::layer, layer, window_of(question_.model, 0), false}, plan);
      work += static_cast<double>(count) * (price.forward.wall + price.backward.wall);
    }
    const double passes = static_cast<double>(question_.batch.global_sequences) /
                          static_cast<double>(size) / static_cast<double>(rest);
    best = std::min(best, work * passes);
  }
  return best;
}

Plan Walk::plan_of(const PassChoice& choice) const {
  Plan plan;
  plan.tp = choice.tp;
  plan.sequence_parallel = choice.sequence_parallel;
  plan.cp = choice.cp;
  plan.cp_kind = choice.cp_kind;
  plan.ep = choice.ep;
  plan.etp = choice.etp;
  plan.compute = question_.compute;
  plan.gradient = gradient_of(question_.trainer, plan.compute);
  plan.layer_split = question_.layer_split;
  return plan;
}

WalkResult Walk::run(const PassChoice& choice, const WalkLimits& limits) {
  limits_ = limits;
  result_ = {};
  refused_ = {};
  Plan plan = plan_of(choice);
  const int64_t rest = question_.cluster.gpus() / (int64_t{choice.tp} * choice.cp);
  auto recompute = recompute_choices(question_);
  if (limits.coarse && recompute.size() > 2) recompute = {recompute.front(), recompute.back()};
  for (const int64_t pp : divisors(rest)) {
    const int64_t dp = rest / pp;
    if (pp > question_.model.layers + 2 || !question_.pp.allows(pp) || !question_.dp.allows(dp) ||
        question_.batch.global_sequences % dp != 0) {
      continue;
    }
    if (limits.coarse && (pp & (pp - 1)) != 0) continue;
    plan.pp = static_cast<int>(pp);
    plan.dp_shard = static_cast<int>(dp);
    plan.dp_replicate = 1;
    for (const int micro_batch :
         micro_batch_choices(question_, question_.batch.global_sequences / dp)) {
      if (limits.coarse && micro_batch > 2) break;
      plan.micro_batch = micro_batch;
      below(plan, recompute);
    }
  }
  for (size_t r = 1; r < refused_.size(); ++r) {
    if (refused_[r] > 0) {
      result_.funnel.refused[name_of(static_cast<RuleId>(r))] = refused_[r];
    }
  }
  return std::move(result_);
}

}  // namespace meshplan
