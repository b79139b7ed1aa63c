// SPDX-License-Identifier: Apache-2.0
// May this plan be run at all, and if not, which rule says so, who imposes it, and what would be
// the nearest plan that may?
//
// Two kinds of rules: universal ones (a degree divides what it cuts), and those of a trainer (its
// Trainer::rules, and the axes, schedules, formats and ZeRO levels that it offers). A search asks
// check() for every plan that it visits, so that part does not allocate while plans are legal.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "strategies/plan/plan.hpp"
#include "strategies/trainer/trainer.hpp"

namespace meshplan {

enum class RuleId : uint8_t {
  none,  ///< nothing is violated
  // Universal.
  degrees,              ///< every degree is at least 1, zero from 0 to 3
  world,                ///< degrees multiply to the number of GPUs
  batch,                ///< global batch = whole micro-batches on every data-parallel rank
  heads_by_tp,          ///< query heads are cut by tp (and by cp, if all-to-all)
  kv_heads_shared,      ///< kv heads are cut by tp, or shared by whole groups of tp ranks
  width_by_tp,          ///< MLP width is cut by tp
  expert_width_by_etp,  ///< expert width is cut by etp
  experts_need_moe,     ///< ep and etp only mean something for a mixture of experts
  experts_by_ep,        ///< experts are cut by ep
  expert_ranks,         ///< ep * etp ranks are taken out of tp * cp * dp
  sequence_by_cp,       ///< two balanced chunks per rank: sequence by 2 cp (all-to-all: by cp)
  sequence_by_tp,       ///< sequence parallelism cuts sequence / cp by tp
  chunks_need_stages,   ///< vpp > 1 needs pp > 1
  stages_by_layers,     ///< at most layers + 2 virtual stages: first and last may hold no layer
  layer_split,          ///< one number per virtual stage, sum = layers
  schedule_shape,       ///< what the schedule asks of chunks and micro-batches (check_shape)
  // What a trainer offers.
  tensor_parallel,
  pipeline_parallel,
  context_parallel,
  context_parallel_kind,
  expert_parallel,
  zero_level,
  hybrid_shard,
  schedule,
  compute_format,
  optimizer_offload,
  recompute_modules,  ///< selective recompute of what the trainer can recompute
  // What a trainer names in its rules.
  kv_heads_by_tp,        ///< kv heads are cut by tp, never shared (torchtitan, nanotron)
  even_layers,           ///< layers divisible by pp * vpp unless a split is given
  micro_batches_by_pp,   ///< interleaved: micro-batches divisible by pp (SC'21, section 2.2)
  interleaved_group,     ///< interleaved: whole groups of micro-batches, a last part of at least pp
  zero_1_with_pipeline,  ///< gradients and weights are not sharded with pipeline stages
  fully_sharded_only,    ///< ZeRO 0 or 3, nothing between
  untied_with_pipeline,  ///< tied embeddings exclude pipeline stages
  no_expert_tp,          ///< etp is 1
  no_sequence_parallel,  ///< the trainer knows no sequence parallelism
  vocabulary_by_tp,      ///< vocabulary is cut by tp without padding
  depth_first_only,      ///< interleaved: a chunk takes pp micro-batches in turn, no other number
  always_reshards,       ///< zero 3 gathers weights again for the backward pass
};
constexpr int kRules = static_cast<int>(RuleId::always_reshards) + 1;

/// "heads-by-tp", ...: as in trainer files, funnels and messages.
const char* name_of(RuleId rule);
/// What the rule asks for, in one line.
const char* about(RuleId rule);
/// Rules that a trainer file may name.
std::vector<std::string> trainer_rule_names();

/// Rules of one (model, batch, trainer), read once.
class RuleChecker {
 public:
  /// gpus 0: the number of GPUs is not checked.
  RuleChecker(const Model& model, const Batch& batch, const Trainer& trainer, int64_t gpus = 0);

  /// First rule that the plan breaks: degrees and shapes, what the trainer offers, stages, named
  /// rules; none if it is legal. Allocates only where a schedule refuses its shape.
  RuleId check(const Plan& plan) const;
  /// All of them, in the same order. Only the degrees themselves when one is below 1.
  std::vector<RuleId> check_all(const Plan& plan) const;

  /// ErrorKind::no_plan with flag, value, rule, who imposes it and the nearest fix.
  /// rule: what check() answered for this plan, not none.
  Diagnostic describe(RuleId rule, const Plan& plan) const;

 private:
  RuleId check_degrees(const Plan& plan) const;
  template <class Found>
  bool visit(const Plan& plan, Found&& found) const;
  template <class Found>
  bool visit_batch(const Plan& plan, Found&& found) const;
  template <class Found>
  bool visit_shapes(const Plan& plan, Found&& found) const;
  template <class Found>
  bool visit_stages(const Plan& plan, Found&& found) const;
  template <class Found>
  bool visit_offer(const Plan& plan, Found&& found) const;
  template <class Found>
  bool visit_named(const Plan& plan, Found&& found) const;
  bool can_recompute(uint32_t modules) const;
  std::string nearest_units(uint32_t modules) const;
  bool names(RuleId rule) const { return (named_ >> static_cast<unsigned>(rule) & 1) != 0; }
  ScheduleShape shape_of(const Plan& plan) const;

  Model model_;
  Batch batch_;
  Trainer trainer_;
  int64_t gpus_;
  bool dense_layers_, moe_layers_;
  uint64_t named_ = 0;      ///< bit set of RuleId
  uint32_t schedules_ = 0;  ///< bit set of ScheduleKind
  uint32_t cp_kinds_ = 0;   ///< bit set of ContextParallel
  uint32_t formats_ = 0;    ///< bit set of DType
  uint32_t modules_ = 0;    ///< bit set of Module: those that the model has
};

/// One question: the first violated rule, described. For a search, keep a RuleChecker.
std::optional<Diagnostic> violated(const Model& model, const Plan& plan, const Batch& batch,
                                   const Trainer& trainer, int64_t gpus = 0);

}  // namespace meshplan
