// SPDX-License-Identifier: Apache-2.0
// Words for the rules: message, flag, value, nearest fix.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>

#include "strategies/rules/rules.hpp"

namespace meshplan {
namespace {

/// "tp 8", or "tp 8 or 16": the divisors of `whole` next to `degree` (below; above, up to `most`).
std::string nearest_divisors(const char* name, int64_t whole, int64_t degree, int64_t most) {
  int64_t below = 1, above = 0;
  for (int64_t d = std::min(whole, degree - 1); d >= 1; --d)
    if (whole % d == 0) {
      below = d;
      break;
    }
  for (int64_t d = degree + 1; d <= std::min(whole, most); ++d)
    if (whole % d == 0) {
      above = d;
      break;
    }
  return above > 0 ? fmt::format("{} {} or {}", name, below, above)
                   : fmt::format("{} {}", name, below);
}

/// "16 or 24": multiples of `step` around `value`.
std::string nearest_multiples(int64_t step, int64_t value) {
  const int64_t below = value / step * step;
  return below > 0 ? fmt::format("{} or {}", below, below + step) : fmt::format("{}", step);
}

struct Words {
  std::string message, flag, value, hint;
};

/// No dp makes it right: a degree that does not divide what the others leave of the GPUs is wrong,
/// or their number.
Words no_whole_copies(const Plan& p, int64_t gpus) {
  struct Degree {
    const char* name;
    int64_t ranks;
  };
  const Degree degrees[] = {{"tp", p.tp}, {"cp", p.cp}, {"pp", p.pp}};
  const int64_t copy = int64_t{p.tp} * p.cp * p.pp;
  Degree wrong = degrees[0];
  for (const Degree& d : degrees) {
    const bool alone = gpus % d.ranks != 0, before = gpus % wrong.ranks != 0;
    if (alone != before ? alone : d.ranks > wrong.ranks) wrong = d;
  }
  const int64_t others = copy / wrong.ranks;
  std::string hint = fmt::format("{} GPUs", nearest_multiples(copy, gpus));
  if (gpus % others == 0)
    hint = nearest_divisors(wrong.name, gpus / others, wrong.ranks, gpus) + "; or " + hint;
  return {fmt::format("{} GPUs are not whole copies of the model: tp {} x cp {} x pp {} = {} ranks",
                      gpus, p.tp, p.cp, p.pp, copy),
          fmt::format("--{}", wrong.name), fmt::format("{}", wrong.ranks), hint};
}

}  // namespace

std::string RuleChecker::nearest_units(uint32_t modules) const {
  std::string best = "none or full";
  int most = 0;
  for (const uint32_t unit : trainer_.recompute_units) {
    const int common = std::popcount(unit & modules);
    if (common > most) best = modules_text(unit);
    most = std::max(most, common);
  }
  return best;
}

Diagnostic RuleChecker::describe(RuleId rule, const Plan& p) const {
  const Model& m = model_;
  const std::string id = trainer_.id.empty() ? "this trainer" : trainer_.id;
  const auto text = [](int64_t number) { return fmt::format("{}", number); };
  Words w;
  switch (rule) {
    case RuleId::none:
      w = {"the plan breaks no rule", "", "", ""};
      break;
    case RuleId::degrees:
      w = {"every degree must be at least 1, and zero must be from 0 to 3", "", to_text(p),
           "tp, pp, vpp, cp, dp, ep, etp and micro-batch 1 or more"};
      break;
    case RuleId::world: {
      const int64_t model_ranks = p.world() / p.dp();
      if (gpus_ % model_ranks != 0) {
        w = no_whole_copies(p, gpus_);
        break;
      }
      w = {fmt::format("tp {} x cp {} x pp {} x dp {} = {} ranks, but there are {} GPUs", p.tp,
                       p.cp, p.pp, p.dp(), p.world(), gpus_),
           "--dp", text(p.dp()), fmt::format("dp {}", gpus_ / model_ranks)};
      break;
    }
    case RuleId::batch: {
      const int64_t each = int64_t{p.dp()} * p.micro_batch;
      w = {fmt::format("{} sequences are not whole micro-batches of {} on {} data-parallel ranks",
                       batch_.global_sequences, p.micro_batch, p.dp()),
           "--global-batch", text(batch_.global_sequences),
           fmt::format("global batch {}", nearest_multiples(each, batch_.global_sequences))};
      break;
    }
    case RuleId::heads_by_tp:
      if (p.cp > 1 && p.cp_kind == ContextParallel::all_to_all) {
        w = {fmt::format("{} heads cannot be cut by tp {} x cp {} (all-to-all)", m.heads, p.tp,
                         p.cp),
             "--cp", text(p.cp), nearest_divisors("cp", m.heads / p.tp, p.cp, int64_t{p.cp} * 2)};
      } else {
        w = {fmt::format("{} attention heads cannot be cut by tp {}", m.heads, p.tp), "--tp",
             text(p.tp), nearest_divisors("tp", m.heads, p.tp, 4 * int64_t{p.tp})};
      }
      break;
    case RuleId::kv_heads_shared:
      w = {fmt::format("{} kv heads can neither be cut by nor shared evenly among tp {}",
                       m.kv_heads, p.tp),
           "--tp", text(p.tp), nearest_divisors("tp", m.kv_heads, p.tp, m.kv_heads)};
      break;
    case RuleId::width_by_tp: {
      const bool dense = dense_layers_ && m.intermediate % p.tp != 0;
      const int64_t width = dense ? m.intermediate : m.moe->shared_intermediate;
      w = {fmt::format("the MLP's width {} cannot be cut by tp {}", width, p.tp), "--tp",
           text(p.tp), nearest_divisors("tp", width, p.tp, 4 * int64_t{p.tp})};
      break;
    }
    case RuleId::expert_width_by_etp:
      w = {fmt::format("an expert's width {} cannot be cut by etp {}", m.moe->expert_intermediate,
                       p.etp),
           "--etp", text(p.etp),
           nearest_divisors("etp", m.moe->expert_intermediate, p.etp, 4 * int64_t{p.etp})};
      break;
    case RuleId::experts_need_moe:
      w = {fmt::format("{} has no experts to distribute", m.name.empty() ? "the model" : m.name),
           p.ep > 1 ? "--ep" : "--etp", text(p.ep > 1 ? p.ep : p.etp), "ep 1 and etp 1"};
      break;
    case RuleId::experts_by_ep:
      w = {fmt::format("{} experts cannot be cut by ep {}", m.moe->experts, p.ep), "--ep",
           text(p.ep), nearest_divisors("ep", m.moe->experts, p.ep, m.moe->experts)};
      break;
    case RuleId::expert_ranks: {
      const int64_t ranks = int64_t{p.tp} * p.cp * p.dp();
      w = {
          fmt::format("ep {} x etp {} does not divide the {} ranks of a stage", p.ep, p.etp, ranks),
          "--ep", text(p.ep), nearest_divisors("ep", ranks / p.etp, p.ep, m.moe->experts)};
      break;
    }
    case RuleId::sequence_by_cp: {
      const int64_t step = p.cp_kind == ContextParallel::all_to_all ? p.cp : 2 * int64_t{p.cp};
      w = {fmt::format("a sequence of {} tokens cannot be cut into {} equal chunks for cp {}",
                       batch_.sequence, step, p.cp),
           "--seq", text(batch_.sequence),
           fmt::format("sequence {}", nearest_multiples(step, batch_.sequence))};
      break;
    }
    case RuleId::sequence_by_tp:
      w = {fmt::format("sequence parallelism cannot cut {} tokens by tp {}", batch_.sequence / p.cp,
                       p.tp),
           "--seq", text(batch_.sequence),
           fmt::format("sequence {}, or no sequence parallelism",
                       nearest_multiples(int64_t{p.tp} * p.cp, batch_.sequence))};
      break;
    case RuleId::chunks_need_stages:
      w = {"several model chunks per stage need more than one pipeline stage", "--vpp", text(p.vpp),
           "vpp 1, or pp 2"};
      break;
    case RuleId::stages_by_layers:
      w = {
          fmt::format("{} layers do not fill pp {} x vpp {} virtual stages", m.layers, p.pp, p.vpp),
          p.vpp > 1 ? "--vpp" : "--pp", text(p.vpp > 1 ? p.vpp : p.pp),
          p.vpp > 1 && (m.layers + 2) / p.pp >= 1 ? fmt::format("vpp {}", (m.layers + 2) / p.pp)
                                                  : fmt::format("pp {}", m.layers + 2)};
      break;
    case RuleId::layer_split:
      w = {fmt::format("the layer split must give {} numbers from 0 that sum to {} layers",
                       virtual_stages(shape_of(p)), m.layers),
           "--layer-split", fmt::format("{}", fmt::join(p.layer_split, ",")),
           "leave it out for an even split"};
      break;
    case RuleId::schedule_shape: {
      const Status status = check_shape(shape_of(p));
      if (!status.ok()) {
        Diagnostic refused = status.error();
        refused.kind = ErrorKind::no_plan;
        refused.rule = fmt::format("{} ({}; universal)", name_of(rule), refused.rule);
        if (refused.where.empty()) refused.where = "--schedule";
        return refused;
      }
      break;
    }
    case RuleId::tensor_parallel:
      w = {fmt::format("{} has no tensor parallelism", id), "--tp", text(p.tp), "tp 1"};
      break;
    case RuleId::pipeline_parallel:
      w = {fmt::format("{} has no pipeline parallelism", id), "--pp", text(p.pp), "pp 1"};
      break;
    case RuleId::context_parallel:
      w = {fmt::format("{} has no context parallelism", id), "--cp", text(p.cp), "cp 1"};
      break;
    case RuleId::context_parallel_kind:
      w = {fmt::format("{} has no context parallelism of this kind", id), "--cp-kind",
           to_text(p.cp_kind), fmt::format("{}", fmt::join(trainer_.context_parallel_kinds, ", "))};
      break;
    case RuleId::expert_parallel:
      w = {fmt::format("{} has no expert parallelism", id), "--ep", text(p.ep), "ep 1"};
      break;
    case RuleId::zero_level:
      w = {fmt::format("{} shards up to ZeRO level {}", id, trainer_.max_zero), "--zero",
           text(p.zero), fmt::format("zero {}", trainer_.max_zero)};
      break;
    case RuleId::hybrid_shard:
      w = {fmt::format("{} shards over all data-parallel ranks or none", id), "--dp-replicate",
           text(p.dp_replicate), fmt::format("dp-shard {}, dp-replicate 1", p.dp())};
      break;
    case RuleId::schedule:
      w = {fmt::format("{} has no such pipeline schedule", id), "--schedule", name_of(p.schedule),
           fmt::format("{}", fmt::join(trainer_.schedules, ", "))};
      break;
    case RuleId::compute_format: {
      std::vector<std::string> known;
      for (const DType type : trainer_.compute) known.emplace_back(name_of(type));
      w = {fmt::format("{} does not compute in this format", id), "--precision", name_of(p.compute),
           fmt::format("{}", fmt::join(known, ", "))};
      break;
    }
    case RuleId::optimizer_offload:
      w = {fmt::format("{} does not keep optimizer states on the host", id), "--optimizer-offload",
           "", "leave it out"};
      break;
    case RuleId::recompute_modules:
      w = {fmt::format("{} cannot recompute these modules apart from the others", id),
           "--recompute", modules_text(p.recompute_modules), nearest_units(p.recompute_modules)};
      break;
    case RuleId::kv_heads_by_tp:
      w = {fmt::format("{} kv heads cannot be cut by tp {}, and {} does not share them", m.kv_heads,
                       p.tp, id),
           "--tp", text(p.tp), nearest_divisors("tp", m.kv_heads, p.tp, m.kv_heads)};
      break;
    case RuleId::even_layers:
      w = {fmt::format("{} layers are not a multiple of pp {} x vpp {}", m.layers, p.pp, p.vpp),
           p.vpp > 1 ? "--vpp" : "--pp", text(p.vpp > 1 ? p.vpp : p.pp),
           p.vpp > 1 && m.layers % p.pp == 0
               ? nearest_divisors("vpp", m.layers / p.pp, p.vpp, 4 * int64_t{p.vpp})
               : nearest_divisors("pp", m.layers, p.pp, 4 * int64_t{p.pp})};
      break;
    case RuleId::micro_batches_by_pp:
    case RuleId::interleaved_group: {
      const bool whole = rule == RuleId::micro_batches_by_pp;
      const int64_t group = whole || p.schedule_group == 0 ? p.pp : p.schedule_group;
      const int64_t each = int64_t{p.dp()} * p.micro_batch;
      w = {fmt::format("the interleaved schedule takes micro-batches in groups of {}{}, not {}",
                       group, whole ? "" : fmt::format(" (a last one of at least {})", p.pp),
                       batch_.micro_batches(p)),
           "--global-batch", text(batch_.global_sequences),
           fmt::format("global batch {}, or the 1f1b schedule",
                       nearest_multiples(each * group, batch_.global_sequences))};
      break;
    }
    case RuleId::zero_1_with_pipeline:
      w = {fmt::format("{} does not shard gradients or weights with pipeline stages", id), "--zero",
           text(p.zero), "zero 1, or pp 1"};
      break;
    case RuleId::fully_sharded_only:
      w = {fmt::format("{} shards everything or nothing", id), "--zero", text(p.zero),
           "zero 3 (without resharding after forward for the traffic of zero 2)"};
      break;
    case RuleId::untied_with_pipeline:
      w = {fmt::format("{} refuses tied embeddings with pipeline stages", id), "--pp", text(p.pp),
           "pp 1"};
      break;
    case RuleId::no_expert_tp:
      w = {fmt::format("{} does not cut experts by tensor parallelism", id), "--etp", text(p.etp),
           "etp 1"};
      break;
    case RuleId::no_sequence_parallel:
      w = {fmt::format("{} has no sequence parallelism", id), "--sequence-parallel", "on", "off"};
      break;
    case RuleId::vocabulary_by_tp:
      w = {fmt::format("{} does not pad, and a vocabulary of {} cannot be cut by tp {}", id,
                       m.vocabulary, p.tp),
           "--tp", text(p.tp), nearest_divisors("tp", m.vocabulary, p.tp, 4 * int64_t{p.tp})};
      break;
    case RuleId::depth_first_only:
      w = {fmt::format("{} has no choice of micro-batches that a chunk takes in turn", id),
           "--schedule-group", text(p.schedule_group), fmt::format("{}", p.pp)};
      break;
    case RuleId::always_reshards:
      w = {fmt::format("{} always gathers weights again for the backward pass", id), "--reshard",
           "off", "on, or zero 2 for the same traffic"};
      break;
  }
  const bool universal = rule <= RuleId::schedule_shape;
  return {ErrorKind::no_plan,
          w.message,
          w.flag,
          w.value,
          fmt::format("{} ({})", name_of(rule), universal ? "universal" : id),
          w.hint};
}

}  // namespace meshplan
