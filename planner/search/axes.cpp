// SPDX-License-Identifier: Apache-2.0
#include "planner/search/axes.hpp"

#include <algorithm>
#include <set>

#include "strategies/program/op.hpp"

namespace meshplan {

bool AxisRange::allows(int64_t value) const {
  if (!values.empty()) return std::find(values.begin(), values.end(), value) != values.end();
  return value >= first && (last == 0 || value <= last);
}

std::vector<int64_t> divisors(int64_t n) {
  std::vector<int64_t> result;
  for (int64_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) continue;
    result.push_back(d);
    if (d != n / d) result.push_back(n / d);
  }
  std::sort(result.begin(), result.end());
  return result;
}

namespace {

constexpr int64_t kWidest = 64;  ///< ranks of one tp or cp group that are still considered

bool offers(const SearchQuestion& question, ContextParallel kind) {
  if (!question.cp_kinds.empty()) {
    return std::find(question.cp_kinds.begin(), question.cp_kinds.end(), kind) !=
           question.cp_kinds.end();
  }
  const auto& names = question.trainer.context_parallel_kinds;
  return std::find(names.begin(), names.end(), to_text(kind)) != names.end();
}

bool offers(const SearchQuestion& question, ScheduleKind kind) {
  if (!question.schedules.empty()) {
    return std::find(question.schedules.begin(), question.schedules.end(), kind) !=
           question.schedules.end();
  }
  const auto& names = question.trainer.schedules;
  return std::find(names.begin(), names.end(), name_of(kind)) != names.end();
}

/// Degrees of an expert axis for one (tp, cp).
std::vector<std::pair<int, int>> expert_choices(const SearchQuestion& question, int tp) {
  if (!question.model.moe) return {{1, 1}};
  std::vector<std::pair<int, int>> result;
  for (const int64_t ep : divisors(question.model.moe->experts)) {
    if (!question.ep.allows(ep) || question.cluster.gpus() % ep != 0) continue;
    for (const int etp : {1, tp}) {
      if (question.etp.allows(etp)) result.emplace_back(static_cast<int>(ep), etp);
      if (tp == 1) break;
    }
  }
  return result;
}

}  // namespace

std::vector<PassChoice> pass_choices(const SearchQuestion& question) {
  std::vector<PassChoice> result;
  const int64_t world = question.cluster.gpus();
  for (const int64_t tp : divisors(world)) {
    if (tp > kWidest || !question.tp.allows(tp)) continue;
    for (const int64_t cp : divisors(world / tp)) {
      if (cp > kWidest || !question.cp.allows(cp)) continue;
      for (const ContextParallel kind :
           {ContextParallel::all_gather, ContextParallel::ring, ContextParallel::all_to_all}) {
        if (cp > 1 && !offers(question, kind)) continue;
        for (const bool sp : {true, false}) {
          if (tp == 1 && !sp) continue;
          if (question.sequence_parallel && tp > 1 && *question.sequence_parallel != sp) continue;
          for (const auto& [ep, etp] : expert_choices(question, static_cast<int>(tp))) {
            result.push_back({static_cast<int>(tp), sp, static_cast<int>(cp), kind, ep, etp});
          }
        }
        if (cp == 1) break;
      }
    }
  }
  return result;
}

std::vector<RecomputeChoice> recompute_choices(const SearchQuestion& question) {
  const Trainer& trainer = question.trainer;
  std::vector<RecomputeChoice> result;
  const auto offer = [&](Recompute kind, uint32_t modules) {
    // Who names a kind means all layers.
    if (question.recompute.empty() && recomputes_some_layers(trainer, kind)) {
      for (const double share : kRecomputeShares) result.push_back({kind, modules, share});
    }
    result.push_back({kind, modules});
  };
  const auto wanted = [&](Recompute kind) {
    return question.recompute.empty() ||
           std::find(question.recompute.begin(), question.recompute.end(), kind) !=
               question.recompute.end();
  };
  if (wanted(Recompute::none)) offer(Recompute::none, 0);
  if (wanted(Recompute::selective) && trainer.recompute_limited) {
    // What the trainer can recompute apart, alone and together with the norms.
    const uint32_t has = modules_of(question.model);
    const auto& units = trainer.recompute_units;
    const uint32_t norm = bit(Module::norm);
    const bool with_norm = std::find(units.begin(), units.end(), norm) != units.end();
    std::set<uint32_t> offered;
    for (const uint32_t unit : units) {
      if (!has_unit(question.model, unit)) continue;
      offered.insert(unit & has);
      if (with_norm) offered.insert((unit | norm) & has);
    }
    for (const uint32_t modules : offered) offer(Recompute::selective, modules);
  } else if (wanted(Recompute::selective)) {
    const uint32_t cheap = bit(Module::norm) | bit(Module::activation);
    for (const uint32_t modules :
         {bit(Module::norm), bit(Module::activation), bit(Module::core_attention), cheap,
          cheap | bit(Module::mlp_in) | bit(Module::mlp_out)})
      offer(Recompute::selective, modules);
  }
  if (wanted(Recompute::full)) offer(Recompute::full, 0);
  return result;
}

std::vector<ScheduleChoice> schedule_choices(const SearchQuestion& question, int pp,
                                             int64_t micro_batches) {
  std::vector<ScheduleChoice> result;
  if (pp == 1) {
    if (question.vpp.allows(1)) result.push_back({});
    return result;
  }
  const int64_t layers = question.model.layers;
  for (const ScheduleKind kind :
       {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::zb_h1}) {
    if (offers(question, kind) && question.vpp.allows(1)) result.push_back({kind});
  }
  for (const ScheduleKind kind : {ScheduleKind::zb_v, ScheduleKind::dualpipe}) {
    if (offers(question, kind) && question.vpp.allows(2)) result.push_back({kind, 2});
  }
  if (offers(question, ScheduleKind::interleaved)) {
    for (int vpp = 2; int64_t{vpp} * pp <= layers + 2; ++vpp) {
      const int64_t stages = int64_t{vpp} * pp;
      const bool even =
          layers % stages == 0 || (layers + 1) % stages == 0 || (layers + 2) % stages == 0;
      if (!question.vpp.allows(vpp) || (!even && question.layer_split.empty())) continue;
      result.push_back({ScheduleKind::interleaved, vpp, 0});
      if (micro_batches > pp) {  // breadth-first (Llama 3, section 3.3.2: N up to M)
        result.push_back({ScheduleKind::interleaved, vpp, static_cast<int>(micro_batches)});
      }
    }
  }
  return result;
}

std::vector<StateChoice> state_choices(const SearchQuestion& question, int dp, int cp) {
  std::vector<StateChoice> result;
  const bool may_offload = question.trainer.optimizer_offload;
  for (int zero = 0; zero <= 3; ++zero) {
    if (!question.zero.allows(zero) || (dp * cp == 1 && zero > 0 && question.zero.open())) continue;
    for (const int64_t copies : divisors(dp)) {
      if ((copies & (copies - 1)) != 0 || !question.dp_shard.allows(dp / copies)) continue;
      if (copies > 1 && (zero == 0 || copies == dp)) continue;
      for (const bool reshard : {true, false}) {
        if (!reshard && zero < 3) continue;
        if (zero == 3 && question.reshard_after_forward &&
            *question.reshard_after_forward != reshard) {
          continue;
        }
        for (const bool offload : {false, true}) {
          if (question.optimizer_offload ? *question.optimizer_offload != offload
                                         : offload && !may_offload) {
            continue;
          }
          result.push_back({zero, reshard, static_cast<int>(copies), offload});
        }
      }
    }
  }
  return result;
}

std::vector<int> micro_batch_choices(const SearchQuestion& question, int64_t sequences_per_rank) {
  std::vector<int> result;
  for (int64_t size = 1; size <= sequences_per_rank; size *= 2) {
    if (sequences_per_rank % size == 0 && question.micro_batch.allows(size)) {
      result.push_back(static_cast<int>(size));
    }
  }
  for (const int64_t size : question.micro_batch.values) {  // an explicit odd size counts too
    if ((size & (size - 1)) != 0 && size > 0 && sequences_per_rank % size == 0) {
      result.push_back(static_cast<int>(size));
    }
  }
  return result;
}

}  // namespace meshplan
