// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/open_knobs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "costmodel/step/estimate.hpp"
#include "planner/search/axes.hpp"
#include "strategies/rules/rules.hpp"

namespace meshplan::cli {
namespace {

/// The one value of an axis; `otherwise` where it is open.
Result<int> single(const AxisRange& range, const char* flag, int otherwise) {
  if (range.open()) return otherwise;
  if (range.values.size() == 1) return static_cast<int>(range.values.front());
  return Diagnostic{.kind = ErrorKind::usage,
                    .message = "one plan is simulated: one value is needed here",
                    .where = flag,
                    .hint = "'meshplan plan' takes lists and ranges"};
}

struct Degree {
  const char* flag;
  const AxisRange& range;
  int Plan::*field;
};

/// Degrees of the plan, with dp from what is left of the GPUs.
Status fill_degrees(const SearchQuestion& q, Plan& plan) {
  const Degree degrees[] = {
      {"--tp", q.tp, &Plan::tp},       {"--pp", q.pp, &Plan::pp},
      {"--cp", q.cp, &Plan::cp},       {"--ep", q.ep, &Plan::ep},
      {"--etp", q.etp, &Plan::etp},    {"--vpp", q.vpp, &Plan::vpp},
      {"--zero", q.zero, &Plan::zero}, {"--micro-batch", q.micro_batch, &Plan::micro_batch}};
  for (const Degree& degree : degrees) {
    MESHPLAN_TRY(plan.*degree.field, single(degree.range, degree.flag, plan.*degree.field));
  }
  const int64_t gpus = q.cluster.gpus();
  const int64_t inner = int64_t{plan.tp} * plan.pp * plan.cp;
  const bool stated = !q.dp.open();
  MESHPLAN_TRY(
      const int dp,
      single(q.dp, "--dp", static_cast<int>(std::max<int64_t>(1, stated ? 1 : gpus / inner))));
  MESHPLAN_TRY(const int shard, single(q.dp_shard, "--hsdp", dp));
  if (dp % shard != 0)
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = fmt::format("shards over {} ranks do not divide dp {}", shard, dp),
                      .where = "--hsdp",
                      .value = std::to_string(shard)};
  plan.dp_shard = shard;
  plan.dp_replicate = dp / shard;
  return Done{};
}

Status fill_choices(const SearchQuestion& q, const PlanFlags& flags, Plan& plan) {
  if (q.recompute.size() > 1 || q.schedules.size() > 1 || q.cp_kinds.size() > 1)
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "one plan is simulated: one value is needed of each knob",
                      .hint = "'meshplan plan' takes lists and ranges"};
  if (!q.recompute.empty()) {
    if (plan.recompute != q.recompute.front()) plan.recompute_modules = 0;
    plan.recompute = q.recompute.front();
  }
  if (!q.schedules.empty()) plan.schedule = q.schedules.front();
  if (!q.cp_kinds.empty()) plan.cp_kind = q.cp_kinds.front();
  if (q.sequence_parallel) plan.sequence_parallel = *q.sequence_parallel;
  if (q.reshard_after_forward) plan.reshard_after_forward = *q.reshard_after_forward;
  if (q.optimizer_offload) plan.optimizer_offload = *q.optimizer_offload;
  if (!q.layer_split.empty()) plan.layer_split = q.layer_split;
  if (!flags.recompute_layers.empty()) {
    MESHPLAN_TRY(const int64_t layers,
                 whole_number(flags.recompute_layers, "--recompute-layers", 0));
    plan.recompute_layers = static_cast<int>(layers);
  }
  if (!flags.schedule_group.empty()) {
    MESHPLAN_TRY(const int64_t group, whole_number(flags.schedule_group, "--schedule-group", 0));
    plan.schedule_group = static_cast<int>(group);
  }
  plan.compute = q.compute;
  return Done{};
}

/// What is tried for each knob that was left open; one entry where it was not.
struct Knobs {
  std::vector<int> micro_batch;
  std::vector<RecomputeChoice> recompute;
  std::vector<StateChoice> states;
  std::vector<ContextParallel> cp_kinds;
  bool schedule_open = false, recompute_layers_open = false;
  std::vector<std::string> names;
};

Knobs knobs_of(const SearchQuestion& q, const PlanFlags& flags, const Plan& plan) {
  Knobs knobs;
  const auto open = [&](bool is_open, const char* name) {
    if (is_open) knobs.names.emplace_back(name);
    return is_open;
  };
  const int64_t each = q.batch.global_sequences / std::max(1, plan.dp());
  knobs.micro_batch = {plan.micro_batch};
  if (open(q.micro_batch.open() && each > 1, "micro-batch"))
    knobs.micro_batch = micro_batch_choices(q, each);
  if (knobs.micro_batch.size() > 4) knobs.micro_batch.resize(4);
  knobs.schedule_open = plan.pp > 1 && (q.vpp.open() || q.schedules.empty());
  open(plan.pp > 1 && q.schedules.empty(), "schedule");
  open(plan.pp > 1 && q.vpp.open(), "vpp");
  open(plan.pp > 1 && knobs.schedule_open && flags.schedule_group.empty(), "schedule group");
  knobs.recompute = {{plan.recompute, plan.recompute_modules}};
  if (open(q.recompute.empty(), "recompute") || plan.recompute == Recompute::selective)
    knobs.recompute = recompute_choices(q);
  knobs.recompute_layers_open = q.recompute.empty() && flags.recompute_layers.empty();
  knobs.states = {
      {plan.zero, plan.reshard_after_forward, plan.dp_replicate, plan.optimizer_offload}};
  if (open(q.zero.open() && plan.dp() * plan.cp > 1, "zero")) {
    SearchQuestion narrow = q;
    if (!q.optimizer_offload) narrow.optimizer_offload = false;
    narrow.dp_shard.values = {plan.dp_shard};
    knobs.states = state_choices(narrow, plan.dp(), plan.cp);
    if (knobs.states.empty()) knobs.states = {{0, true, plan.dp_replicate, false}};
  }
  knobs.cp_kinds = {plan.cp_kind};
  if (open(plan.cp > 1 && q.cp_kinds.empty(), "cp kind"))
    knobs.cp_kinds = {ContextParallel::all_gather, ContextParallel::ring,
                      ContextParallel::all_to_all};
  return knobs;
}

std::vector<Plan> alternatives(const SearchQuestion& q, const PlanFlags& flags, const Plan& base,
                               const Knobs& knobs) {
  std::vector<Plan> out;
  Plan plan = base;
  for (const int micro_batch : knobs.micro_batch) {
    plan.micro_batch = micro_batch;
    const int64_t n = q.batch.micro_batches(plan);
    std::vector<ScheduleChoice> schedules = {{base.schedule, base.vpp, base.schedule_group}};
    if (knobs.schedule_open) schedules = schedule_choices(q, plan.pp, n);
    for (const ScheduleChoice& schedule : schedules) {
      plan.schedule = schedule.kind;
      plan.vpp = schedule.vpp;
      plan.schedule_group = flags.schedule_group.empty() ? schedule.group : base.schedule_group;
      for (const RecomputeChoice& recompute : knobs.recompute) {
        plan.recompute = recompute.kind;
        plan.recompute_modules = recompute.modules;
        if (knobs.recompute_layers_open) {
          plan.recompute_layers = recomputed_layers(recompute.share, q.model.layers, plan);
          if (recompute.share < 1 && plan.recompute_layers < 0) continue;
        }
        for (const StateChoice& state : knobs.states) {
          plan.zero = state.zero;
          plan.reshard_after_forward = state.reshard;
          plan.optimizer_offload = state.offload;
          for (const ContextParallel kind : knobs.cp_kinds) {
            plan.cp_kind = kind;
            out.push_back(plan);
          }
        }
      }
    }
  }
  return out;
}

}  // namespace

Result<StepEstimate> settle(const report::Question& question, const PlanFlags& flags,
                            OpenKnobs& open) {
  MESHPLAN_TRY(const SearchQuestion q, search_question(question, flags));
  Plan base = question.plan.value_or(Plan{});
  if (!question.plan) base.sequence_parallel = question.trainer.sequence_parallel_default;
  if (!question.plan) base.gradient = gradient_of(question.trainer, base.compute);
  if (question.plan && q.dp.open() && q.dp_shard.open() && q.tp.open() && q.pp.open() &&
      q.cp.open()) {
    // The file's own degrees stand.
  } else {
    MESHPLAN_CHECK(fill_degrees(q, base));
  }
  MESHPLAN_CHECK(fill_choices(q, flags, base));
  std::vector<Plan> plans = {base};
  if (!question.plan) {
    const Knobs knobs = knobs_of(q, flags, base);
    open.left_open = fmt::format("{}", fmt::join(knobs.names, ", "));
    auto tried = alternatives(q, flags, base, knobs);
    if (!tried.empty()) plans = std::move(tried);
  }
  const RuleChecker rules(q.model, q.batch, q.trainer, q.cluster.gpus());
  MESHPLAN_TRY(const Constants constants, load_constants());
  MESHPLAN_TRY(const auto costs, CostModel::load(q.cluster, constants));
  std::optional<StepEstimate> best;
  std::optional<Diagnostic> refusal;
  std::vector<double> times;
  EstimateOptions options;
  options.convention = question.convention;
  options.check_rules = false;
  for (const Plan& plan : plans) {
    if (const RuleId rule = rules.check(plan); rule != RuleId::none) {
      ++open.refused;
      if (!refusal) refusal = rules.describe(rule, plan);
      continue;
    }
    MESHPLAN_TRY(StepEstimate estimate,
                 estimate_step(*costs, q.model, plan, q.batch, q.trainer, options));
    ++open.alternatives;
    if (estimate.fits) times.push_back(estimate.step_s);
    const bool better =
        !best || (estimate.fits != best->fits
                      ? estimate.fits
                      : (estimate.fits ? estimate.step_s < best->step_s
                                       : estimate.peak_memory_bytes < best->peak_memory_bytes));
    if (better) best = std::move(estimate);
  }
  if (!best) return *refusal;
  std::sort(times.begin(), times.end());
  open.fitting = static_cast<int64_t>(times.size());
  if (!times.empty()) {
    open.fastest_s = times.front();
    open.median_s = times[times.size() / 2];
    open.slowest_s = times.back();
  }
  return *std::move(best);
}

}  // namespace meshplan::cli
