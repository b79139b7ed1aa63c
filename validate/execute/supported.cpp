// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "validate/execute/rank_run.hpp"
#include "validate/execute/routed.hpp"

namespace meshplan {
namespace {

using Reasons = std::vector<std::string>;

void check_model(const Model& model, const Plan& plan, Reasons& reasons) {
  const auto no = [&](bool bad, const char* what) {
    if (bad) reasons.emplace_back(what);
  };
  no(model.positions != Positions::rope && model.positions != Positions::none,
     "positions other than rotary ones");
  no(model.rotary_fraction != 1, "rotary positions on a part of the head");
  no(model.rope_scaling != RopeScaling::none && model.rope_scaling != RopeScaling::llama3,
     "rotary scaling other than Llama 3.1's");
  no(model.attention_sinks, "attention sinks");
  no(model.lm_head_bias, "a bias in the head");
  no(model.kv_heads % plan.tp != 0, "fewer key heads than tensor-parallel ranks");
  if (!model.moe) return;
  no(model.moe->router != Router::softmax || !model.moe->normalise_top_k ||
         model.moe->router_bias || model.moe->groups > 0,
     "routers other than softmax with gates that add up to 1");
  no(model.moe->shared_gate, "a gate on the shared expert");
  no(model.moe->expert_bias, "biases in the experts");
}

void check_plan(const Program& program, Reasons& reasons) {
  const Plan& plan = program.plan;
  const auto no = [&](bool bad, const char* what) {
    if (bad) reasons.emplace_back(what);
  };
  const auto known = [](DType type) { return type == DType::fp32 || type == DType::bf16; };
  const bool fp8 = plan.compute == DType::fp8;
  no(!known(plan.compute) && !fp8, "products in another type than fp32, bf16 and fp8");
  no(fp8 && plan.tp > 1 && plan.sequence_parallel,
     "8-bit products under sequence parallelism, where ranks gather pieces of different scales");
  no(fp8 && program.model.moe, "8-bit products of experts");
  no(!known(plan.gradient), "gradients in another type than fp32 and bf16");
  no(program.trainer.optimizer_moment != DType::fp32, "moments in another type than fp32");
  no(plan.compute != DType::fp32 && !program.trainer.master_weights && plan.zero < 3,
     "bf16 weights without fp32 masters");
  no(program.trainer.dropout, "dropout");
  no(program.trainer.optimizer_in_backward, "an optimizer inside the backward pass");
  no(program.trainer.adapters_only, "adapters beside frozen weights");
  no(program.trainer.attention == AttentionKernel::materialised && plan.cp == 1,
     "materialised attention");
  no(plan.schedule == ScheduleKind::dualpipe, "the schedule dualpipe");
  no(plan.cp > 1 && program.batch.sequence % (int64_t{2} * plan.cp) != 0,
     "a sequence that 2 cp does not divide");
  no(program.model.tied_embeddings && plan.zero >= (plan.pp > 1 ? 2 : 3),
     "tied embeddings with sharded gradients across stages, or sharded parameters");
}

void check_experts(const Program& program, const RunOptions& options, Reasons& reasons) {
  const Plan& plan = program.plan;
  if (!program.model.moe) return;
  const Moe& moe = *program.model.moe;
  if (program.trainer.ep_sends_once) {
    reasons.emplace_back("an exchange of experts that sends a token once");
  }
  if (program.trainer.moe_gates_in_activation) {
    reasons.emplace_back("gates inside the experts' activation");
  }
  if (plan.tp > 1 && !plan.sequence_parallel) {
    reasons.emplace_back("experts under tensor parallelism without sequence parallelism");
  }
  const int64_t tokens = plan.micro_batch * program.batch.sequence / plan.cp / plan.tp;
  const int64_t group = options.routing_group > 0 ? options.routing_group : tokens;
  int64_t rows = 0;
  for (const Block& block : program.blocks) rows = std::max(rows, expert_rows(block));
  if (moe.experts % plan.ep != 0 || tokens % group != 0 ||
      rows * group % (tokens * moe.experts) != 0) {
    reasons.push_back(fmt::format(
        "routing in groups of {} tokens: {} tokens of a rank and {} experts do not come out even",
        group, tokens, moe.experts));
  }
}

}  // namespace

std::vector<std::string> not_executable(const Program& program, const RunOptions& options) {
  Reasons reasons = program.priced_only;
  check_model(program.model, program.plan, reasons);
  check_plan(program, reasons);
  check_experts(program, options, reasons);
  return reasons;
}

}  // namespace meshplan
