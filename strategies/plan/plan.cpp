// SPDX-License-Identifier: Apache-2.0
#include "strategies/plan/plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "strategies/program/op.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan {
namespace {

template <class Enum>
Result<Enum> one_of(const std::string& text, const std::vector<std::string>& names,
                    const char* what) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  return Diagnostic{ErrorKind::usage,    fmt::format("there is no such {}", what), "", text, "",
                    suggest(text, names)};
}

const std::vector<std::string> kContextParallel = {"all-gather", "ring", "all-to-all"};
const std::vector<std::string> kRecompute = {"none", "selective", "full"};

}  // namespace

int recomputed_layers(double share, int64_t layers, const Plan& plan) {
  const double each = static_cast<double>(layers) / plan.virtual_stages();
  return share < 1 && std::ceil(share * each) < each ? static_cast<int>(std::ceil(share * each))
                                                     : -1;
}

std::string to_text(ContextParallel kind) { return kContextParallel[static_cast<size_t>(kind)]; }
std::string to_text(Recompute kind) { return kRecompute[static_cast<size_t>(kind)]; }

Result<ContextParallel> context_parallel_from(const std::string& text) {
  return one_of<ContextParallel>(text, kContextParallel, "kind of context parallelism");
}
Result<Recompute> recompute_from(const std::string& text) {
  return one_of<Recompute>(text, kRecompute, "recompute policy");
}

std::string modules_text(uint32_t modules) {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(Module::state); ++i)
    if ((modules >> i & 1) != 0) names.emplace_back(name_of(static_cast<Module>(i)));
  return fmt::format("{}", fmt::join(names, "+"));
}

std::string to_text(const Plan& plan) {
  std::string text = fmt::format("tp{}{} pp{}", plan.tp,
                                 plan.tp > 1 && !plan.sequence_parallel ? " no-sp" : "", plan.pp);
  if (plan.vpp > 1) text += fmt::format(" vpp{}", plan.vpp);
  text += fmt::format(" cp{}", plan.cp);
  if (plan.cp > 1) text += fmt::format(" ({})", to_text(plan.cp_kind));
  if (plan.ep > 1) text += fmt::format(" ep{}", plan.ep);
  if (plan.etp > 1) text += fmt::format(" etp{}", plan.etp);
  text += fmt::format(" dp{}", plan.dp());
  if (plan.dp_replicate > 1 && plan.zero > 0) text += fmt::format(" (shard {})", plan.dp_shard);
  text += fmt::format(" zero{}", plan.zero);
  if (plan.zero == 3 && !plan.reshard_after_forward) text += " (kept)";
  text += fmt::format(" mb{} recompute {}", plan.micro_batch, to_text(plan.recompute));
  if (plan.recompute != Recompute::none && plan.recompute_layers >= 0) {
    text += fmt::format(" ({} layers)", plan.recompute_layers);
  }
  if (plan.pp > 1) {
    text += fmt::format(" {}", name_of(plan.schedule));
    if (plan.schedule_group > 0) text += fmt::format(" (N={})", plan.schedule_group);
  }
  if (plan.optimizer_offload) text += " offload";
  return text;
}

}  // namespace meshplan
