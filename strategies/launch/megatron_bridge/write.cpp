// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "strategies/launch/common.hpp"
#include "strategies/launch/megatron_bridge/files.hpp"
#include "strategies/launch/megatron_lm/files.hpp"
#include "strategies/launch/trainers.hpp"
#include "strategies/program/lower.hpp"

namespace meshplan::launch {
namespace megatron_bridge {

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all = {
      {"llama3-8b", "llama3_8b_pretrain_2gpu_h100_bf16_config", false},
      {"llama3-70b", "llama3_70b_pretrain_32gpu_h100_bf16_config"},
      {"llama3-405b", "llama31_405b_pretrain_256gpu_h100_bf16_config"},
      {"llama2-7b", "llama2_7b_pretrain_2gpu_h100_bf16_config"},
      {"qwen3-8b", "qwen3_8b_pretrain_4gpu_h100_bf16_config", false},
      {"qwen3-30b-a3b", "qwen3_30b_a3b_pretrain_8gpu_h100_bf16_config", false},
      {"qwen3-235b-a22b", "qwen3_235b_a22b_pretrain_256gpu_h100_bf16_config"},
      {"deepseek-v3", "deepseek_v3_pretrain_1024gpu_h100_bf16_config"},
  };
  return all;
}

Result<std::string> write(const Job& job, Version) {
  const Plan& p = job.plan;
  const Trainer& t = job.trainer;
  const Recipe* recipe = nullptr;
  std::vector<std::string> known;
  for (const Recipe& each : recipes()) {
    known.emplace_back(each.model);
    const auto model = find_model(each.model);
    if (model.ok() && recipe == nullptr && same_shape(*model, job.model)) recipe = &each;
  }
  if (recipe == nullptr)
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = "no recipe of Megatron-Bridge is known for this model",
                      .where = "model",
                      .value = job.model.id,
                      .hint = fmt::format("known: {}; --trainer megatron-lm takes shapes",
                                          fmt::join(known, ", "))};
  MESHPLAN_TRY(const std::vector<int> split, layers_per_virtual_stage(job.model, p));
  const bool even =
      std::all_of(split.begin(), split.end(), [&](int n) { return n == split.front(); });
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  std::string out = fmt::format(
      "# Arguments of scripts/training/run_recipe.py; read by torchrun.sh\n{}ARGS=(\n"
      "  --recipe {} --mode pretrain --dataset mock\n",
      (p.tp > 1 || p.cp > 1) && job.compute_capability < 10 && p.zero < 2
          ? "export CUDA_DEVICE_MAX_CONNECTIONS=1\n"
          : "",
      recipe->recipe);
  const auto say = [&](const std::string& key, const auto& value) {
    out += fmt::format("  {}={}\n", key, value);
  };
  say("model.tensor_model_parallel_size", p.tp);
  say("model.sequence_parallel", flag(p.tp > 1 && p.sequence_parallel));
  say("model.pipeline_model_parallel_size", p.pp);
  const bool chunks = even && p.vpp > 1;
  say("model.virtual_pipeline_model_parallel_size", chunks ? std::to_string(p.vpp) : "null");
  say("model.pipeline_model_parallel_layout",
      even ? "null" : fmt::format("\"'{}'\"", layout_text(split)));
  if (job.model.mla) say("model.mtp_num_layers", "null");  // layers that the plan does not have
  // A recipe may count the ends of the model as layers; the split is said without.
  say("model.account_for_embedding_in_pipeline_split", "false");
  say("model.account_for_loss_in_pipeline_split", "false");
  if (p.vpp > 1 && p.schedule_group > 0)
    say("model.microbatch_group_size_per_vp_stage", p.schedule_group);
  say("model.context_parallel_size", p.cp);
  if (p.cp > 1)
    say("model.cp_comm_type", p.cp_kind == ContextParallel::ring         ? "p2p"
                              : p.cp_kind == ContextParallel::all_gather ? "all_gather"
                                                                         : "a2a");
  if (job.model.moe) {
    say("model.expert_model_parallel_size", p.ep);
    say("model.expert_tensor_parallel_size", p.etp);
  }
  const bool full = p.recompute == Recompute::full;
  say("model.recompute_granularity", full                                  ? "full"
                                     : p.recompute == Recompute::selective ? "selective"
                                                                           : "null");
  say("model.recompute_method", full ? (p.recompute_layers < 0 ? "uniform" : "block") : "null");
  say("model.recompute_num_layers",
      full ? std::to_string(p.recompute_layers < 0 ? 1 : p.recompute_layers) : "null");
  if (p.recompute == Recompute::selective)
    say("model.recompute_modules",
        fmt::format("[{}]", fmt::join(megatron_lm::module_names(p.recompute_modules), ",")));
  say("ddp.use_distributed_optimizer", flag(p.zero >= 1));
  say("ddp.overlap_grad_reduce", flag(t.overlap_grad_reduce));
  say("ddp.overlap_param_gather", flag(t.overlap_param_gather && p.zero >= 1));
  say("ddp.grad_reduce_in_fp32", flag(p.gradient == DType::fp32));
  if (p.zero >= 1 && p.dp_replicate > 1)
    say("ddp.num_distributed_optimizer_instances", p.dp_replicate);
  if (p.zero >= 2) {
    say("ddp.use_megatron_fsdp", "true");
    say("ddp.data_parallel_sharding_strategy", p.zero == 2 ? "optim_grads" : "optim_grads_params");
    say("checkpoint.ckpt_format", "fsdp_dtensor");
  }
  if (p.optimizer_offload) say("optimizer.optimizer_cpu_offload", "true");
  say(recipe->overlap ? "comm_overlap.tp_comm_overlap" : "model.tp_comm_overlap",
      flag(p.tp > 1 && p.sequence_parallel && t.tp_overlap != TpOverlap::none));
  if (recipe->overlap) say("comm_overlap.tp_comm_overlap_cfg", "null");
  for (const TrainerSetting& set : t.settings) {
    const std::string place = recipe->overlap ? "comm_overlap." : "model.";
    for (const Switch& each : switches())
      if (set.section == each.section && set.key == each.fact)
        say(each.name, flag(t.*each.member == each.on));
    if (recipe->overlap && p.zero >= 1 && set.section == "overlap" &&
        (set.key == "grad_reduce" || set.key == "param_gather"))
      say("comm_overlap.overlap_" + set.key, set.value);
    if (set.section == "overlap" && set.key == "ep")
      say(place + "overlap_moe_expert_parallel_comm", set.value);
  }
  if (t.dropout) {
    say("model.attention_dropout", "0.1");
    say("model.hidden_dropout", "0.1");
  }
  if (job.model.moe && !t.ep_sends_once) say("model.moe_token_dispatcher_type", "alltoall");
  say("mixed_precision", p.compute == DType::fp16  ? "fp16_mixed"
                         : p.compute == DType::fp8 ? t.dynamic_scaling
                                                         ? "bf16_with_fp8_current_scaling_mixed"
                                                         : "bf16_with_fp8_delayed_scaling_mixed"
                         : p.compute == DType::fp4 ? "bf16_with_nvfp4_mixed"
                                                   : "bf16_mixed");
  say("dataset.seq_length", job.batch.sequence);
  say("model.seq_length", job.batch.sequence);
  say("train.micro_batch_size", p.micro_batch);
  say("train.global_batch_size", job.batch.global_sequences);
  return out + ")\n";
}

}  // namespace megatron_bridge

const TrainerFiles& megatron_bridge_files() {
  static const TrainerFiles files = {
      .id = "megatron-bridge",
      .name = "Megatron-Bridge, overrides on a recipe",
      .plans = "megatron-core",
      .file = "overrides.sh",
      .versions = {{0, 7}},
      .knobs = {{"--tp", "model.tensor_model_parallel_size"},
                {"--sequence-parallel", "model.sequence_parallel"},
                {"--pp", "model.pipeline_model_parallel_size"},
                {"--vpp", "model.virtual_pipeline_model_parallel_size"},
                {"--schedule-group", "model.microbatch_group_size_per_vp_stage"},
                {"--layer-split", "model.pipeline_model_parallel_layout"},
                {"--cp", "model.context_parallel_size"},
                {"--cp-kind", "model.cp_comm_type"},
                {"--ep", "model.expert_model_parallel_size"},
                {"--etp", "model.expert_tensor_parallel_size"},
                {"--hsdp", "ddp.num_distributed_optimizer_instances"},
                {"--zero", "ddp.data_parallel_sharding_strategy"},
                {"--micro-batch", "train.micro_batch_size"},
                {"--global-batch", "train.global_batch_size"},
                {"--seq", "dataset.seq_length"},
                {"--recompute", "model.recompute_modules"},
                {"--precision", "mixed_precision"},
                {"--offload-optimizer", "optimizer.optimizer_cpu_offload"}},
      .rules = megatron_bridge::rules(),
      .limits = {{"--reshard", "Megatron-FSDP gathers weights again for the backward pass"}},
      .write = megatron_bridge::write,
      .start =
          [](const Job& job, Version) {
            Start start;
            start.source = "overrides.sh";
            if (job.plan.zero >= 2) start.unset = {"CUDA_DEVICE_MAX_CONNECTIONS"};
            start.program =
                "\"${BRIDGE:?path of a Megatron-Bridge checkout}/scripts/training/"
                "run_recipe.py\" \"${ARGS[@]}\"";
            start.needs = {
                "a checkout of NVIDIA-NeMo/Megatron-Bridge 0.7, its path in `BRIDGE`, in "
                "the NeMo container"};
            return start;
          },
      .read = megatron_bridge::read};
  return files;
}

}  // namespace meshplan::launch
