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
                                                    "kv-heads-by-tp",
                                                    "even-layers",
                                                    "micro-batches-by-pp",
                                                    "interleaved-group",
                                                    "zero-1-with-pipeline",
                                                    "fully-sharded-only",
                                                    "untied-with-pipeline",
                                                    "no-expert-tp",
                                                    "no-sequence-parallel",
                                                    "vocabulary-by-tp"};
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
  for (const DType type : trainer.compute) formats_ |= 1u << static_cast<unsigned>(type);
}

RuleId RuleChecker::check(const Plan& plan) const {
  RuleId rule = check_degrees(plan);
  if (rule == RuleId::none) rule = check_shapes(plan);
  if (rule == RuleId::none) rule = check_offer(plan);
  if (rule == RuleId::none) rule = check_stages(plan);
  if (rule == RuleId::none) rule = check_named(plan);
  return rule;
}

RuleId RuleChecker::check_degrees(const Plan& p) const {
  if (std::min({p.tp, p.pp, p.vpp, p.cp, p.dp_shard, p.dp_replicate, p.ep, p.etp, p.micro_batch}) <
          1 ||
      p.zero < 0 || p.zero > 3 || p.schedule_group < 0 || p.recompute_layers < -1)
    return RuleId::degrees;
  if (gpus_ > 0 && p.world() != gpus_) return RuleId::world;
  const int64_t each = int64_t{p.dp()} * p.micro_batch;
  if (batch_.global_sequences < each || batch_.global_sequences % each != 0) return RuleId::batch;
  return RuleId::none;
}

RuleId RuleChecker::check_shapes(const Plan& p) const {
  const bool ulysses = p.cp > 1 && p.cp_kind == ContextParallel::all_to_all;
  const int64_t head_ranks = ulysses ? int64_t{p.tp} * p.cp : p.tp;
  if (model_.heads % head_ranks != 0) return RuleId::heads_by_tp;
  if (model_.kv_heads % head_ranks != 0 && head_ranks % model_.kv_heads != 0)
    return RuleId::kv_heads_shared;
  if (dense_layers_ && model_.intermediate % p.tp != 0) return RuleId::width_by_tp;
  if (moe_layers_) {
    const Moe& moe = *model_.moe;
    if (moe.shared_intermediate % p.tp != 0) return RuleId::width_by_tp;
    if (moe.expert_intermediate % p.etp != 0) return RuleId::expert_width_by_etp;
    if (moe.experts % p.ep != 0) return RuleId::experts_by_ep;
    if (int64_t{p.tp} * p.cp * p.dp() % (int64_t{p.ep} * p.etp) != 0) return RuleId::expert_ranks;
  } else if (p.ep > 1 || p.etp > 1) {
    return RuleId::experts_need_moe;
  }
  if (p.cp > 1 && batch_.sequence % (ulysses ? p.cp : 2 * p.cp) != 0) return RuleId::sequence_by_cp;
  if (p.tp > 1 && p.sequence_parallel && batch_.sequence / p.cp % p.tp != 0)
    return RuleId::sequence_by_tp;
  return RuleId::none;
}

ScheduleShape RuleChecker::shape_of(const Plan& p) const {
  return {p.schedule, p.pp, p.vpp, batch_.micro_batches(p), p.schedule_group};
}

RuleId RuleChecker::check_stages(const Plan& p) const {
  if (p.vpp > 1 && p.pp == 1) return RuleId::chunks_need_stages;
  const ScheduleShape shape = shape_of(p);
  if (p.pp > 1 && !check_shape(shape).ok()) return RuleId::schedule_shape;
  const int64_t stages = virtual_stages(shape);
  if (p.layer_split.empty()) {
    if (stages > 1 && model_.layers + 2 < stages) return RuleId::stages_by_layers;
    return RuleId::none;
  }
  int64_t sum = 0;
  for (const int layers : p.layer_split) {
    if (layers < 0) return RuleId::layer_split;
    sum += layers;
  }
  if (static_cast<int64_t>(p.layer_split.size()) != stages || sum != model_.layers)
    return RuleId::layer_split;
  return RuleId::none;
}

RuleId RuleChecker::check_offer(const Plan& p) const {
  const Trainer& t = trainer_;
  if (p.tp > 1 && !t.tensor_parallel) return RuleId::tensor_parallel;
  if (p.pp > 1 && !t.pipeline_parallel) return RuleId::pipeline_parallel;
  if (p.cp > 1 && !t.context_parallel) return RuleId::context_parallel;
  if (p.cp > 1 && (cp_kinds_ >> static_cast<unsigned>(p.cp_kind) & 1) == 0)
    return RuleId::context_parallel_kind;
  if (p.ep > 1 && !t.expert_parallel) return RuleId::expert_parallel;
  if (p.zero > t.max_zero) return RuleId::zero_level;
  if (p.zero > 0 && p.dp_replicate > 1 && p.dp_shard > 1 && !t.hybrid_shard)
    return RuleId::hybrid_shard;
  if (p.pp > 1 && (schedules_ >> static_cast<unsigned>(p.schedule) & 1) == 0)
    return RuleId::schedule;
  if ((formats_ >> static_cast<unsigned>(p.compute) & 1) == 0) return RuleId::compute_format;
  if (p.optimizer_offload && !t.optimizer_offload) return RuleId::optimizer_offload;
  return RuleId::none;
}

RuleId RuleChecker::check_named(const Plan& p) const {
  if (named_ == 0) return RuleId::none;
  const auto broken = [&](RuleId rule, bool violated) { return violated && names(rule); };
  const int64_t micro_batches = batch_.micro_batches(p);
  const bool interleaved = p.pp > 1 && p.schedule == ScheduleKind::interleaved;
  const int64_t group = p.schedule_group > 0 ? p.schedule_group : p.pp;
  const int64_t rest = micro_batches % group;
  if (broken(RuleId::kv_heads_by_tp, model_.kv_heads % p.tp != 0)) return RuleId::kv_heads_by_tp;
  if (broken(RuleId::even_layers,
             p.layer_split.empty() && model_.layers % (int64_t{p.pp} * p.vpp) != 0))
    return RuleId::even_layers;
  if (broken(RuleId::micro_batches_by_pp, interleaved && micro_batches % p.pp != 0))
    return RuleId::micro_batches_by_pp;
  if (broken(RuleId::interleaved_group,
             interleaved && (micro_batches < group || (rest != 0 && rest < p.pp))))
    return RuleId::interleaved_group;
  if (broken(RuleId::zero_1_with_pipeline, p.pp > 1 && p.zero > 1))
    return RuleId::zero_1_with_pipeline;
  if (broken(RuleId::fully_sharded_only, p.zero == 1 || p.zero == 2))
    return RuleId::fully_sharded_only;
  if (broken(RuleId::untied_with_pipeline, p.pp > 1 && model_.tied_embeddings))
    return RuleId::untied_with_pipeline;
  if (broken(RuleId::no_expert_tp, p.etp > 1)) return RuleId::no_expert_tp;
  if (broken(RuleId::no_sequence_parallel, p.tp > 1 && p.sequence_parallel))
    return RuleId::no_sequence_parallel;
  if (broken(RuleId::vocabulary_by_tp, model_.vocabulary % p.tp != 0))
    return RuleId::vocabulary_by_tp;
  return RuleId::none;
}

std::optional<Diagnostic> violated(const Model& model, const Plan& plan, const Batch& batch,
                                   const Trainer& trainer, int64_t gpus) {
  const RuleChecker checker(model, batch, trainer, gpus);
  const RuleId rule = checker.check(plan);
  if (rule == RuleId::none) return std::nullopt;
  return checker.describe(rule, plan);
}

}  // namespace meshplan
