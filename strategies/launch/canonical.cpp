// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "strategies/launch/launch.hpp"
#include "strategies/program/lower.hpp"

namespace meshplan::launch {
namespace {

using Knob = std::pair<std::string, std::string>;

std::string on_off(bool value) { return value ? "on" : "off"; }

std::string recompute_text(const Plan& plan) {
  if (plan.recompute == Recompute::none) return to_text(plan.recompute);
  std::string what = plan.recompute == Recompute::full ? to_text(plan.recompute)
                                                       : modules_text(plan.recompute_modules);
  if (plan.recompute_layers < 0) return what;
  return fmt::format("{}, {} layers a virtual stage", what, plan.recompute_layers);
}

std::vector<Knob> knobs_of(const Plan& p) {
  const auto text = [](int64_t number) { return std::to_string(number); };
  return {{"--tp", text(p.tp)},
          {"--sequence-parallel", on_off(p.sequence_parallel)},
          {"--pp", text(p.pp)},
          {"--vpp", text(p.vpp)},
          {"--schedule", name_of(p.schedule)},
          {"--schedule-group", text(p.schedule_group)},
          {"--layer-split", fmt::format("{}", fmt::join(p.layer_split, ","))},
          {"--cp", text(p.cp)},
          {"--cp-kind", to_text(p.cp_kind)},
          {"--dp", text(p.dp())},
          {"--hsdp", text(p.dp_shard)},
          {"--zero", text(p.zero)},
          {"--reshard", on_off(p.reshard_after_forward)},
          {"--ep", text(p.ep)},
          {"--etp", text(p.etp)},
          {"--micro-batch", text(p.micro_batch)},
          {"--recompute", recompute_text(p)},
          {"--precision", name_of(p.compute)},
          {"gradient format", name_of(p.gradient)},
          {"--offload-optimizer", on_off(p.optimizer_offload)}};
}

}  // namespace

std::string to_text(Version version) { return fmt::format("{}.{}", version.major, version.minor); }

Plan canonical(const Model& model, Plan p) {
  const Plan fresh;
  if (p.tp == 1) p.sequence_parallel = fresh.sequence_parallel;
  if (p.cp == 1) p.cp_kind = fresh.cp_kind;
  if (p.pp == 1) {
    p.vpp = 1;
    p.schedule = fresh.schedule;
    p.layer_split.clear();
  }
  if (p.schedule != ScheduleKind::interleaved || p.schedule_group == p.pp) p.schedule_group = 0;
  if (p.zero == 0 || p.dp() == 1) {
    p.dp_shard = p.dp();
    p.dp_replicate = 1;
  }
  if (p.dp() * p.cp == 1) p.zero = 0;  // context parallel ranks share the states, too
  if (p.zero < 3) p.reshard_after_forward = true;
  if (p.recompute != Recompute::selective) p.recompute_modules = 0;
  p.recompute_modules &= modules_of(model);
  if (p.recompute == Recompute::selective && p.recompute_modules == 0)
    p.recompute = Recompute::none;
  if (p.recompute == Recompute::none) p.recompute_layers = -1;
  if (!p.layer_split.empty()) {
    Plan by_rule = p;
    by_rule.layer_split.clear();
    const auto split = layers_per_virtual_stage(model, by_rule);
    if (split.ok() && *split == p.layer_split) p.layer_split.clear();
  }
  return p;
}

std::vector<Loss> differences(const Model& model, const Plan& wanted, const Plan& written) {
  const std::vector<Knob> a = knobs_of(canonical(model, wanted));
  const std::vector<Knob> b = knobs_of(canonical(model, written));
  std::vector<Loss> out;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].second != b[i].second) out.push_back({a[i].first, a[i].second, b[i].second, ""});
  return out;
}

}  // namespace meshplan::launch
