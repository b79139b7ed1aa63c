// SPDX-License-Identifier: Apache-2.0
#include "strategies/rules/rules.hpp"

namespace meshplan {

const char* about(RuleId rule) {
  switch (rule) {
    case RuleId::none:
      return "nothing is violated";
    case RuleId::degrees:
      return "every degree is at least 1, zero is from 0 to 3";
    case RuleId::world:
      return "tp x cp x pp x dp is the number of GPUs";
    case RuleId::batch:
      return "the global batch is whole micro-batches on every data-parallel rank";
    case RuleId::heads_by_tp:
      return "tp (and cp, if all-to-all) divides the query heads";
    case RuleId::kv_heads_shared:
      return "tp divides the kv heads, or whole groups of tp ranks share one";
    case RuleId::width_by_tp:
      return "tp divides the width of the MLP";
    case RuleId::expert_width_by_etp:
      return "etp divides the width of an expert";
    case RuleId::experts_need_moe:
      return "ep and etp only mean something for a mixture of experts";
    case RuleId::experts_by_ep:
      return "ep divides the number of experts";
    case RuleId::expert_ranks:
      return "ep x etp divides tp x cp x dp";
    case RuleId::sequence_by_cp:
      return "2 cp equal chunks make up the sequence (all-to-all: cp)";
    case RuleId::sequence_by_tp:
      return "with sequence parallelism tp divides sequence / cp";
    case RuleId::chunks_need_stages:
      return "vpp > 1 needs pp > 1";
    case RuleId::stages_by_layers:
      return "at most layers + 2 virtual stages: the first and the last may hold no layer";
    case RuleId::layer_split:
      return "a layer split has one number per virtual stage and sums to the layers";
    case RuleId::schedule_shape:
      return "chunks and micro-batches are what the schedule asks for";
    case RuleId::tensor_parallel:
      return "the trainer offers tensor parallelism";
    case RuleId::pipeline_parallel:
      return "the trainer offers pipeline parallelism";
    case RuleId::context_parallel:
      return "the trainer offers context parallelism";
    case RuleId::context_parallel_kind:
      return "the trainer offers this kind of context parallelism";
    case RuleId::expert_parallel:
      return "the trainer offers expert parallelism";
    case RuleId::zero_level:
      return "the trainer offers this ZeRO level";
    case RuleId::hybrid_shard:
      return "the trainer offers copies of sharded groups (HSDP)";
    case RuleId::schedule:
      return "the trainer offers this pipeline schedule";
    case RuleId::compute_format:
      return "the trainer does products in this format";
    case RuleId::optimizer_offload:
      return "the trainer offers the optimizer on the host";
    case RuleId::recompute_modules:
      return "selective recompute covers what the trainer can recompute";
    case RuleId::kv_heads_by_tp:
      return "tp divides the kv heads; they are never shared";
    case RuleId::even_layers:
      return "pp x vpp divides the layers unless a split is given";
    case RuleId::micro_batches_by_pp:
      return "interleaved: pp divides the micro-batches";
    case RuleId::interleaved_group:
      return "interleaved: whole groups of micro-batches, a last part of at least pp";
    case RuleId::zero_1_with_pipeline:
      return "gradients and weights are not sharded with pipeline stages";
    case RuleId::fully_sharded_only:
      return "ZeRO 0 or 3, nothing between";
    case RuleId::untied_with_pipeline:
      return "tied embeddings exclude pipeline stages";
    case RuleId::no_expert_tp:
      return "etp is 1";
    case RuleId::no_sequence_parallel:
      return "the trainer knows no sequence parallelism";
    case RuleId::vocabulary_by_tp:
      return "tp divides the vocabulary without padding";
    case RuleId::depth_first_only:
      return "interleaved: a chunk takes pp micro-batches in turn";
    case RuleId::always_reshards:
      return "zero 3 gathers weights again for the backward pass";
  }
  return "";
}

}  // namespace meshplan
