// SPDX-License-Identifier: Apache-2.0
#include "planner/search/walk.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace meshplan {
namespace {

/// Rules that another layout of the states may satisfy.
bool concerns_states(RuleId rule) {
  return rule == RuleId::zero_level || rule == RuleId::hybrid_shard ||
         rule == RuleId::optimizer_offload || rule == RuleId::zero_1_with_pipeline ||
         rule == RuleId::fully_sharded_only || rule == RuleId::always_reshards ||
         rule == RuleId::degrees;
}

constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

Walk::Walk(const SearchQuestion& question, const CostModel& costs, const RuleChecker& rules,
           PassStore& passes)
    : question_(question), costs_(costs), rules_(rules), store_(passes) {}

void choose_states(Plan& plan, const StateChoice& choice, int dp) {
  plan.zero = choice.zero;
  plan.reshard_after_forward = choice.reshard;
  plan.dp_replicate = choice.replicate;
  plan.dp_shard = dp / choice.replicate;
  plan.optimizer_offload = choice.offload;
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

void Walk::lean(const Plan& plan, int64_t bytes) {
  if (result_.leanest && bytes >= result_.leanest_bytes) return;
  result_.leanest = plan;
  result_.leanest_bytes = bytes;
}

void Walk::refuse(RuleId rule, int64_t visited, int64_t covered) {
  result_.funnel.visited += visited;
  result_.funnel.covered += covered;
  refused_[static_cast<size_t>(rule)] += visited;
}

/// Is the plan legal with some choice of states? Finds out which choices are, once.
bool Walk::legal(Plan& plan, const std::vector<StateChoice>& choices, Legality& legality) {
  const int dp = plan.dp();
  if (!legality.rule.empty()) {
    choose_states(plan, choices[legality.first], dp);
    legality.refused = rules_.check(plan);
    return legality.refused == RuleId::none;
  }
  std::vector<RuleId> rules;
  legality.legal = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    choose_states(plan, choices[i], dp);
    rules.push_back(rules_.check(plan));
    legality.refused = rules.back();
    if (rules.back() == RuleId::none) {
      if (legality.legal++ == 0) legality.first = i;
    } else if (!concerns_states(rules.back())) {
      return false;
    }
  }
  if (legality.legal == 0) return false;
  legality.rule = std::move(rules);
  return true;
}

/// Every choice of states of a plan that is legal with some of them.
void Walk::visit_all(Plan& plan, const Stages& stages, double bound,
                     const std::vector<StateChoice>& choices, const Legality& legality) {
  const int dp = plan.dp();
  const Shardings& all = shardings(plan, stages, choices, legality);
  Funnel& funnel = result_.funnel;
  // What even the leanest mixture of all choices cannot hold is cut in bulk; but the leanest plan
  // is told where nothing fits. Without copies there are the fewest communicators.
  plan.dp_shard = dp;
  plan.dp_replicate = 1;
  MemoryEstimate least = states_alone(plan, all.least);
  const bool told =
      !result_.best.empty() || (result_.leanest && least.peak_bytes >= result_.leanest_bytes);
  if (least.fits_device() || !told) least = needed(plan, stages, nullptr, all.least);
  const bool hopeless = !least.fits_device();
  if (hopeless) {
    ++funnel.visited;
    ++funnel.out_of_memory;
    funnel.covered += static_cast<int64_t>(choices.size());
    if (!result_.best.empty() || (result_.leanest && least.peak_bytes >= result_.leanest_bytes))
      return;
  }
  for (size_t i = 0; i < choices.size(); ++i) {
    if (legality.rule[i] != RuleId::none) {
      if (!hopeless) refuse(legality.rule[i], 1, 1);
      continue;
    }
    if (!hopeless) {
      ++funnel.visited;
      ++funnel.covered;
      if (slower(bound)) {
        ++funnel.bounded;
        continue;
      }
    }
    choose_states(plan, choices[i], dp);
    const MemoryEstimate memory = needed(plan, stages, all.states[i], all.sums[i]);
    if (!memory.fits()) {
      if (!hopeless) ++funnel.out_of_memory;
      if (!memory.fits_device()) lean(plan, memory.peak_bytes);
      continue;
    }
    ++funnel.priced;
    keep(price(plan, stages), plan);
  }
}

void Walk::below(Plan& plan, const std::vector<RecomputeChoice>& recompute) {
  const int64_t micro_batches = question_.batch.micro_batches(plan);
  const int dp = plan.dp();
  const auto states = state_choices(question_, dp, plan.cp);
  if (states.empty()) return;
  const auto all_states = static_cast<int64_t>(states.size());
  Legality legality;
  const auto cut = [&](double bound) {
    if (!slower(bound)) return false;
    ++result_.funnel.visited;
    ++result_.funnel.bounded;
    result_.funnel.covered += all_states;
    return true;
  };
  for (const ScheduleChoice& schedule : schedule_choices(question_, plan.pp, micro_batches)) {
    plan.schedule = schedule.kind;
    plan.vpp = schedule.vpp;
    plan.schedule_group = schedule.group;
    double unaided = 0;  // bound without recompute, which only adds work
    for (const RecomputeChoice& choice : recompute) {
      plan.recompute = choice.kind;
      plan.recompute_modules = choice.modules;
      const int before = std::exchange(
          plan.recompute_layers, recomputed_layers(choice.share, question_.model.layers, plan));
      if (choice.share < 1 && (plan.recompute_layers < 0 || plan.recompute_layers == before))
        continue;  // so few layers that this is another choice's plan
      // What no choice of states can mend, and what is too slow whatever they are, is cut in bulk.
      if (!legal(plan, states, legality)) {
        refuse(legality.refused, 1, all_states);
        continue;
      }
      if (cut(unaided)) continue;
      const Stages* stages = this->stages(plan);
      if (stages == nullptr) {
        refuse(RuleId::layer_split, 1, all_states);
        continue;
      }
      enter(plan, *stages);
      const double bound = lower_bound(*stages, plan);
      if (choice.kind == Recompute::none) unaided = bound;
      if (cut(bound)) continue;
      visit_all(plan, *stages, bound, states, legality);
    }
  }
  plan.dp_shard = dp;
  plan.dp_replicate = 1;
}

std::optional<double> Walk::seconds_of(const Plan& plan) {
  if (rules_.check(plan) != RuleId::none) return std::nullopt;
  const Stages* stages = this->stages(plan);
  if (stages == nullptr) return std::nullopt;
  enter(plan, *stages);
  const std::vector<StateChoice> one = {
      {plan.zero, plan.reshard_after_forward, plan.dp_replicate, plan.optimizer_offload}};
  const Shardings& sharding = shardings(plan, *stages, one, {{RuleId::none}, 0, 1, RuleId::none});
  const MemoryEstimate memory = needed(plan, *stages, sharding.states[0], sharding.sums[0]);
  return memory.fits() ? std::optional(price(plan, *stages)) : std::nullopt;
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
      passes({{BlockKind::Role::layer, layer, window_of(question_.model, 0), false}}, plan,
             passes_);
      const PassPrice& price = *passes_.front();
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
