// SPDX-License-Identifier: Apache-2.0
#include "planner/explain/explain.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "strategies/rules/rules.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan {
namespace {

constexpr double kMore = 1.1;

void scale_arithmetic(Cluster& c) {
  for (double* rate : {&c.gpu.fp32_flops_per_s, &c.gpu.tf32_flops_per_s, &c.gpu.fp16_flops_per_s,
                       &c.gpu.bf16_flops_per_s, &c.gpu.fp8_flops_per_s})
    *rate *= kMore;
}
void scale_memory(Cluster& c) { c.gpu.memory_bytes_per_s *= kMore; }
void scale_inside(Cluster& c) {
  c.intra_bytes_per_s *= kMore;
  c.gpu.nvlink_bytes_per_s *= kMore;
  for (double& rate : c.mesh_bytes_per_s) rate *= kMore;
}
void scale_network(Cluster& c) { c.nic_bytes_per_s *= kMore; }

/// Keeps dp's product with the others at the number of GPUs; false where it does not divide.
bool give_rest_to_dp(Plan& plan, int64_t gpus) {
  const int64_t inner = int64_t{plan.tp} * plan.pp * plan.cp;
  if (inner < 1 || gpus % inner != 0) return false;
  const auto dp = static_cast<int>(gpus / inner);
  plan.dp_replicate = dp % plan.dp_replicate == 0 ? plan.dp_replicate : 1;
  plan.dp_shard = dp / plan.dp_replicate;
  return true;
}

/// Choices that follow from others where these make them meaningless or impossible.
void make_consistent(Plan& plan) {
  if (plan.pp == 1) {
    plan.vpp = 1;
    plan.schedule = ScheduleKind::one_f_one_b;
    plan.schedule_group = 0;
  }
  if (plan.schedule == ScheduleKind::interleaved && plan.vpp == 1)
    plan.schedule = ScheduleKind::one_f_one_b;
  if (plan.vpp > 1 &&
      (plan.schedule == ScheduleKind::one_f_one_b || plan.schedule == ScheduleKind::gpipe ||
       plan.schedule == ScheduleKind::zb_h1))
    plan.schedule = ScheduleKind::interleaved;
  if (plan.vpp == 1) plan.schedule_group = 0;
  plan.layer_split.clear();
  if (plan.recompute != Recompute::selective) plan.recompute_modules = 0;
}

struct Knob {
  const char* name;
  int Plan::*field;
};
constexpr Knob kKnobs[] = {{"tp", &Plan::tp},     {"pp", &Plan::pp},
                           {"vpp", &Plan::vpp},   {"cp", &Plan::cp},
                           {"ep", &Plan::ep},     {"etp", &Plan::etp},
                           {"zero", &Plan::zero}, {"micro-batch", &Plan::micro_batch}};

std::string difference(const Plan& from, const Plan& to) {
  std::vector<std::string> parts;
  for (const Knob& knob : kKnobs)
    if (from.*knob.field != to.*knob.field)
      parts.push_back(fmt::format("{} {} -> {}", knob.name, from.*knob.field, to.*knob.field));
  if (from.dp() != to.dp()) parts.push_back(fmt::format("dp {} -> {}", from.dp(), to.dp()));
  if (from.dp_replicate != to.dp_replicate)
    parts.push_back(fmt::format("copies {} -> {}", from.dp_replicate, to.dp_replicate));
  if (from.schedule != to.schedule)
    parts.push_back(fmt::format("{} -> {}", name_of(from.schedule), name_of(to.schedule)));
  const auto recomputes = [](const Plan& plan) {
    const bool some = plan.recompute != Recompute::none && plan.recompute_layers >= 0;
    return to_text(plan.recompute) +
           (some ? fmt::format(" in {} layers a virtual stage", plan.recompute_layers) : "");
  };
  if (recomputes(from) != recomputes(to))
    parts.push_back(fmt::format("recompute {} -> {}", recomputes(from), recomputes(to)));
  if (from.sequence_parallel != to.sequence_parallel)
    parts.push_back(fmt::format("sequence parallel {}", to.sequence_parallel ? "on" : "off"));
  if (from.reshard_after_forward != to.reshard_after_forward)
    parts.push_back(fmt::format("reshard {}", to.reshard_after_forward ? "on" : "off"));
  if (from.optimizer_offload != to.optimizer_offload)
    parts.push_back(fmt::format("optimizer on the {}", to.optimizer_offload ? "host" : "GPU"));
  return fmt::format("{}", fmt::join(parts, ", "));
}

Alternative evaluate(const Setting& s, const CostModel& costs, const Plan& base, Plan plan) {
  make_consistent(plan);
  Alternative out{difference(base, plan), plan, {}, {}};
  const RuleChecker rules(s.model, s.batch, s.trainer, s.cluster.gpus());
  if (const RuleId rule = rules.check(plan); rule != RuleId::none) {
    out.refusal = rules.describe(rule, plan);
    return out;
  }
  EstimateOptions options;
  options.check_rules = false;
  auto estimate = estimate_step(costs, s.model, plan, s.batch, s.trainer, options);
  if (estimate.ok())
    out.estimate = std::move(estimate).value();
  else
    out.refusal = estimate.error();
  return out;
}

}  // namespace

Result<std::vector<Elasticity>> elasticities(const Setting& s, const StepEstimate& base) {
  const std::pair<const char*, void (*)(Cluster&)> resources[] = {
      {"arithmetic of the GPU", scale_arithmetic},
      {"memory bandwidth", scale_memory},
      {"links inside the node", scale_inside},
      {"network between nodes", scale_network}};
  std::vector<Elasticity> out;
  EstimateOptions options;
  options.check_rules = false;
  for (const auto& [name, scale] : resources) {
    Cluster more = s.cluster;
    scale(more);
    MESHPLAN_TRY(const StepEstimate changed,
                 estimate_step(s.model, base.plan, s.batch, s.trainer, more, options));
    out.push_back({name, changed.step_s / base.step_s - 1});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.change < b.change; });
  return out;
}

std::vector<Alternative> neighbours(const Setting& s, const CostModel& costs, const Plan& plan) {
  std::vector<Alternative> out;
  const auto try_plan = [&](const Plan& other) {
    Alternative next = evaluate(s, costs, plan, other);
    const auto same = [&](const Alternative& seen) { return seen.change == next.change; };
    if (!next.change.empty() && std::none_of(out.begin(), out.end(), same))
      out.push_back(std::move(next));
  };
  const auto degree = [&](int Plan::*field, bool in_world) {
    for (const bool up : {false, true}) {
      Plan other = plan;
      if (!up && other.*field % 2 != 0) continue;
      other.*field = up ? other.*field * 2 : other.*field / 2;
      if (!in_world || give_rest_to_dp(other, s.cluster.gpus())) try_plan(other);
    }
  };
  degree(&Plan::tp, true);
  degree(&Plan::pp, true);
  degree(&Plan::cp, true);
  if (plan.pp > 1) degree(&Plan::vpp, false);
  if (s.model.moe) degree(&Plan::ep, false);
  degree(&Plan::micro_batch, false);
  for (const int zero : {plan.zero - 1, plan.zero + 1}) {
    Plan other = plan;
    other.zero = zero;
    if (zero >= 0 && zero <= 3 && plan.dp() > 1) try_plan(other);
  }
  for (const Recompute kind : {Recompute::none, Recompute::full}) {
    Plan other = plan;
    other.recompute = kind;
    other.recompute_layers = -1;
    if (kind != plan.recompute) try_plan(other);
  }
  Plan other = plan;
  other.sequence_parallel = !plan.sequence_parallel;
  if (plan.tp > 1) try_plan(other);
  other = plan;
  other.reshard_after_forward = !plan.reshard_after_forward;
  if (plan.zero == 3) try_plan(other);
  other = plan;
  other.optimizer_offload = !plan.optimizer_offload;
  try_plan(other);
  return out;
}

Result<Alternative> why_not(const Setting& s, const CostModel& costs, const Plan& plan,
                            const std::string& knob, const std::string& value) {
  Plan other = plan;
  std::vector<std::string> known = {"recompute", "schedule", "sequence-parallel"};
  for (const Knob& each : kKnobs) known.emplace_back(each.name);
  const Diagnostic bad_value{.kind = ErrorKind::usage,
                             .message = "no such value for this knob",
                             .where = "--why-not " + knob,
                             .value = value};
  if (knob == "recompute") {
    MESHPLAN_TRY(other.recompute, recompute_from(value));
    other.recompute_layers = -1;
  } else if (knob == "schedule") {
    MESHPLAN_TRY(other.schedule, schedule_from(value));
    if (other.schedule == ScheduleKind::interleaved)
      other.vpp = std::max(2, plan.vpp);
    else
      other.vpp = splits_backward(other.schedule) && other.schedule != ScheduleKind::zb_h1 ? 2 : 1;
  } else if (knob == "sequence-parallel") {
    if (value != "on" && value != "off") return bad_value;
    other.sequence_parallel = value == "on";
  } else {
    const auto* found = std::find_if(std::begin(kKnobs), std::end(kKnobs),
                                     [&](const Knob& each) { return knob == each.name; });
    if (found == std::end(kKnobs))
      return Diagnostic{.kind = ErrorKind::usage,
                        .message = "there is no such knob",
                        .where = "--why-not",
                        .value = knob,
                        .hint = suggest(knob, known)};
    if (value.empty() || value.size() > 6 ||
        value.find_first_not_of("0123456789") != std::string::npos)
      return bad_value;
    other.*found->field = std::stoi(value);
    if (knob == "tp" || knob == "pp" || knob == "cp") give_rest_to_dp(other, s.cluster.gpus());
  }
  return evaluate(s, costs, plan, other);
}

std::vector<Part> grown(const std::vector<Part>& base, const std::vector<Part>& other) {
  std::vector<Part> out;
  for (const Part& part : other) {
    double before = 0;
    for (const Part& old : base)
      if (old.name == part.name) before = old.value;
    if (part.value > before) out.push_back({part.name, part.value - before});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Part& a, const Part& b) { return a.value > b.value; });
  return out;
}

}  // namespace meshplan
