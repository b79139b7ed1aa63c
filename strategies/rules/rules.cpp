// SPDX-License-Identifier: Apache-2.0
#include "strategies/rules/rules.hpp"

#include <algorithm>
#include <array>

namespace meshplan {
namespace {

constexpr std::array<const char*, kRules> kNames = {"none",
                                                    "degrees",
                                                    "world",
                                                    "batch",
                                                    "heads-by-tp",
                                                    "kv-heads-shared",
                                                    "width-by-tp",
                                                    "expert-width-by-etp",
                                                    "experts-need-moe",
                                                    "experts-by-ep",
                                                    "expert-ranks",
                                                    "sequence-by-cp",
                                                    "sequence-by-tp",
                                                    "chunks-need-stages",
                                                    "stages-by-layers",
                                                    "layer-split",
                                                    "schedule-shape",
                                                    "tensor-parallel",
                                                    "pipeline-parallel",
                                                    "context-parallel",
                                                    "context-parallel-kind",
                                                    "expert-parallel",
                                                    "zero-level",
                                                    "hybrid-shard",
                                                    "schedule",
                                                    "compute-format",
                                                    "optimizer-offload",
                                                    "recompute-modules",
                                                    "kv-heads-by-tp",
                                                    "even-layers",
                                                    "micro-batches-by-pp",
                                                    "interleaved-group",
                                                    "zero-1-with-pipeline",
                                                    "fully-sharded-only",
                                                    "untied-with-pipeline",
                                                    "no-expert-tp",
                                                    "no-sequence-parallel",
                                                    "vocabulary-by-tp",
                                                    "depth-first-only",
                                                    "always-reshards"};
constexpr RuleId kFirstNamed = RuleId::kv_heads_by_tp;

}  // namespace

const char* name_of(RuleId rule) { return kNames[static_cast<size_t>(rule)]; }

std::vector<std::string> trainer_rule_names() {
  return {kNames.begin() + static_cast<int>(kFirstNamed), kNames.end()};
}

RuleChecker::RuleChecker(const Model& model, const Batch& batch, const Trainer& trainer,
                         int64_t gpus)
    : model_(model),
      batch_(batch),
      trainer_(trainer),
      gpus_(gpus),
      dense_layers_(layers_of(model, LayerKind::dense) > 0),
      moe_layers_(layers_of(model, LayerKind::moe) > 0) {
  for (size_t rule = static_cast<size_t>(kFirstNamed); rule < kNames.size(); ++rule)
    for (const auto& name : trainer.rules)
      if (name == kNames[rule]) named_ |= uint64_t{1} << rule;
  for (int kind = 0; kind < kScheduleKinds; ++kind)
    for (const auto& name : trainer.schedules)
      if (name == name_of(static_cast<ScheduleKind>(kind))) schedules_ |= 1u << kind;
  for (const auto kind :
       {ContextParallel::all_gather, ContextParallel::ring, ContextParallel::all_to_all})
    for (const auto& name : trainer.context_parallel_kinds)
      if (name == to_text(kind)) cp_kinds_ |= 1u << static_cast<unsigned>(kind);
  modules_ = modules_of(model);
  for (const DType type : trainer.compute) formats_ |= 1u << static_cast<unsigned>(type);
}

// Each visit_ calls found(rule) for every rule that is broken and returns true as soon as found
// does: check() stops at the first, check_all() goes on.

template <class Found>
bool RuleChecker::visit(const Plan& plan, Found&& found) const {
  const RuleId degrees = check_degrees(plan);
  if (degrees != RuleId::none) return found(degrees);  // the others divide by degrees
  return visit_batch(plan, found) || visit_shapes(plan, found) || visit_offer(plan, found) ||
         visit_stages(plan, found) || visit_named(plan, found);
}

RuleId RuleChecker::check(const Plan& plan) const {
  RuleId first = RuleId::none;
  visit(plan, [&](RuleId rule) {
    first = rule;
    return true;
  });
  return first;
}

std::vector<RuleId> RuleChecker::check_all(const Plan& plan) const {
  std::vector<RuleId> all;
  visit(plan, [&](RuleId rule) {
    all.push_back(rule);
    return false;
  });
  return all;
}

RuleId RuleChecker::check_degrees(const Plan& p) const {
  const bool positive = std::min({p.tp, p.pp, p.vpp, p.cp, p.dp_shard, p.dp_replicate, p.ep, p.etp,
                                  p.micro_batch}) >= 1;
  const bool broken =
      !positive || p.zero < 0 || p.zero > 3 || p.schedule_group < 0 || p.recompute_layers < -1;
  return broken ? RuleId::degrees : RuleId::none;
}

template <class Found>
bool RuleChecker::visit_batch(const Plan& p, Found&& found) const {
  if (gpus_ > 0 && p.world() != gpus_ && found(RuleId::world)) return true;
  const int64_t each = int64_t{p.dp()} * p.micro_batch;
  const bool whole = batch_.global_sequences >= each && batch_.global_sequences % each == 0;
  return !whole && found(RuleId::batch);
}

template <class Found>
bool RuleChecker::visit_shapes(const Plan& p, Found&& found) const {
  const auto broken = [&](RuleId rule, bool violated) { return violated && found(rule); };
  const bool ulysses = p.cp > 1 && p.cp_kind == ContextParallel::all_to_all;
  const int64_t head_ranks = ulysses ? int64_t{p.tp} * p.cp : p.tp;
  if (broken(RuleId::heads_by_tp, model_.heads % head_ranks != 0) ||
      broken(RuleId::kv_heads_shared,
             model_.kv_heads % head_ranks != 0 && head_ranks % model_.kv_heads != 0) ||
      broken(RuleId::width_by_tp, (dense_layers_ && model_.intermediate % p.tp != 0) ||
                                      (moe_layers_ && model_.moe->shared_intermediate % p.tp != 0)))
    return true;
  if (moe_layers_) {
    const Moe& moe = *model_.moe;
    if (broken(RuleId::expert_width_by_etp, moe.expert_intermediate % p.etp != 0) ||
        broken(RuleId::experts_by_ep, moe.experts % p.ep != 0) ||
        broken(RuleId::expert_ranks, int64_t{p.tp} * p.cp * p.dp() % (int64_t{p.ep} * p.etp) != 0))
      return true;
  } else if (broken(RuleId::experts_need_moe, p.ep > 1 || p.etp > 1)) {
    return true;
  }
  return broken(RuleId::sequence_by_cp,
                p.cp > 1 && batch_.sequence % (ulysses ? p.cp : 2 * p.cp) != 0) ||
         broken(RuleId::sequence_by_tp,
                p.tp > 1 && p.sequence_parallel && batch_.sequence / p.cp % p.tp != 0);
}

ScheduleShape RuleChecker::shape_of(const Plan& p) const {
  return {p.schedule, p.pp, p.vpp, batch_.micro_batches(p), p.schedule_group};
}

template <class Found>
bool RuleChecker::visit_stages(const Plan& p, Found&& found) const {
  if (p.vpp > 1 && p.pp == 1 && found(RuleId::chunks_need_stages)) return true;
  const ScheduleShape shape = shape_of(p);
  // Shapes are only asked about whole micro-batches.
  if (p.pp > 1 && shape.micro_batches > 0 && !check_shape(shape).ok())
    return found(RuleId::schedule_shape);
  const int64_t stages = virtual_stages(shape);
  if (p.layer_split.empty())
    return stages > 1 && model_.layers + 2 < stages && found(RuleId::stages_by_layers);
  int64_t sum = 0;
  bool positive = true;
  for (const int layers : p.layer_split) {
    positive = positive && layers >= 0;
    sum += layers;
  }
  const bool fits =
      positive && static_cast<int64_t>(p.layer_split.size()) == stages && sum == model_.layers;
  return !fits && found(RuleId::layer_split);
}

bool RuleChecker::can_recompute(uint32_t modules) const {
  if (!trainer_.recompute_limited) return true;
  if (modules == 0) return !trainer_.recompute_units.empty();  // what the trainer means by it
  uint32_t covered = 0;
  for (const uint32_t unit : trainer_.recompute_units)
    if (has_unit(model_, unit) && (unit & modules_ & ~modules) == 0) covered |= unit;
  return (covered & modules_) == (modules & modules_);
}

template <class Found>
bool RuleChecker::visit_offer(const Plan& p, Found&& found) const {
  const Trainer& t = trainer_;
  const auto broken = [&](RuleId rule, bool violated) { return violated && found(rule); };
  const bool sharded_copies = p.zero > 0 && p.dp_replicate > 1 && p.dp_shard > 1;
  const auto in = [](uint32_t set, auto value) {
    return (set >> static_cast<unsigned>(value) & 1) != 0;
  };
  return broken(RuleId::tensor_parallel, p.tp > 1 && !t.tensor_parallel) ||
         broken(RuleId::pipeline_parallel, p.pp > 1 && !t.pipeline_parallel) ||
         broken(RuleId::context_parallel, p.cp > 1 && !t.context_parallel) ||
         broken(RuleId::context_parallel_kind,
                p.cp > 1 && t.context_parallel && !in(cp_kinds_, p.cp_kind)) ||
         broken(RuleId::expert_parallel, p.ep > 1 && !t.expert_parallel) ||
         broken(RuleId::zero_level, p.zero > t.max_zero) ||
         broken(RuleId::hybrid_shard, sharded_copies && !t.hybrid_shard) ||
         broken(RuleId::schedule, p.pp > 1 && t.pipeline_parallel && !in(schedules_, p.schedule)) ||
         broken(RuleId::compute_format, !in(formats_, p.compute)) ||
         broken(RuleId::optimizer_offload, p.optimizer_offload && !t.optimizer_offload) ||
         broken(RuleId::recompute_modules,
                p.recompute == Recompute::selective && !can_recompute(p.recompute_modules));
}

template <class Found>
bool RuleChecker::visit_named(const Plan& p, Found&& found) const {
  if (named_ == 0) return false;
  const auto broken = [&](RuleId rule, bool violated) {
    return violated && names(rule) && found(rule);
  };
  const int64_t micro_batches = batch_.micro_batches(p);
  const bool interleaved = p.pp > 1 && p.schedule == ScheduleKind::interleaved;
  const int64_t group = p.schedule_group > 0 ? p.schedule_group : p.pp;
  const int64_t rest = micro_batches % group;
  return broken(RuleId::kv_heads_by_tp, model_.kv_heads % p.tp != 0) ||
         broken(RuleId::even_layers,
                p.layer_split.empty() && model_.layers % (int64_t{p.pp} * p.vpp) != 0) ||
         broken(RuleId::micro_batches_by_pp, interleaved && micro_batches % p.pp != 0) ||
         broken(RuleId::interleaved_group,
                interleaved && (micro_batches < group || (rest != 0 && rest < p.pp))) ||
         broken(RuleId::zero_1_with_pipeline, p.pp > 1 && p.zero > 1) ||
         broken(RuleId::fully_sharded_only, p.zero == 1 || p.zero == 2) ||
         broken(RuleId::untied_with_pipeline, p.pp > 1 && model_.tied_embeddings) ||
         broken(RuleId::no_expert_tp, p.etp > 1) ||
         broken(RuleId::no_sequence_parallel, p.tp > 1 && p.sequence_parallel) ||
         broken(RuleId::vocabulary_by_tp, model_.vocabulary % p.tp != 0) ||
         broken(RuleId::depth_first_only, interleaved && p.schedule_group > p.pp) ||
         broken(RuleId::always_reshards, p.zero == 3 && !p.reshard_after_forward);
}

std::optional<Diagnostic> violated(const Model& model, const Plan& plan, const Batch& batch,
                                   const Trainer& trainer, int64_t gpus) {
  const RuleChecker checker(model, batch, trainer, gpus);
  const RuleId rule = checker.check(plan);
  if (rule == RuleId::none) return std::nullopt;
  return checker.describe(rule, plan);
}

}  // namespace meshplan
