// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "strategies/launch/accelerate/files.hpp"
#include "strategies/launch/trainers.hpp"

namespace meshplan::launch {
namespace accelerate {

Result<std::string> write(const Job& job, Version) {
  const Plan& p = job.plan;
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  const bool fsdp = p.zero == 3 || p.tp > 1 || p.cp > 1;
  std::string out = fmt::format("# A plan of meshplan for accelerate: {}\n", to_text(p));
  out += fmt::format(
      "compute_environment: LOCAL_MACHINE\ndistributed_type: {}\nmixed_precision: {}\n"
      "num_machines: {}\nnum_processes: {}\nmachine_rank: 0\nmain_process_port: 29500\n"
      "rdzv_backend: static\n",
      fsdp ? "FSDP" : "MULTI_GPU", p.compute == DType::fp32 ? "'no'" : name_of(p.compute),
      job.nodes, job.gpus());
  if (!fsdp) return out;
  out += fmt::format(
      "fsdp_config:\n  fsdp_version: 2\n  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n"
      "  fsdp_reshard_after_forward: {}\n  fsdp_activation_checkpointing: {}\n"
      "  fsdp_cpu_ram_efficient_loading: true\n  fsdp_offload_params: false\n"
      "  fsdp_state_dict_type: SHARDED_STATE_DICT\n",
      flag(p.reshard_after_forward), flag(p.recompute == Recompute::full));
  out += fmt::format(
      "parallelism_config:\n  parallelism_config_dp_replicate_size: {}\n"
      "  parallelism_config_dp_shard_size: {}\n  parallelism_config_tp_size: {}\n"
      "  parallelism_config_cp_size: {}\n",
      p.zero == 3 ? p.dp_replicate : p.dp(), p.zero == 3 ? p.dp_shard : 1, p.tp, p.cp);
  if (p.cp > 1)
    out += fmt::format("  parallelism_config_cp_comm_strategy: {}\n",
                       p.cp_kind == ContextParallel::ring ? "alltoall" : "allgather");
  return out;
}

}  // namespace accelerate

const TrainerFiles& accelerate_files() {
  static const TrainerFiles files = {
      .id = "accelerate",
      .name = "Hugging Face accelerate, FSDP2",
      .plans = "accelerate",
      .file = "accelerate.yaml",
      .versions = {{1, 15}},
      .knobs = {{"--tp", "parallelism_config.parallelism_config_tp_size"},
                {"--cp", "parallelism_config.parallelism_config_cp_size"},
                {"--cp-kind", "parallelism_config.parallelism_config_cp_comm_strategy"},
                {"--dp", "parallelism_config.parallelism_config_dp_shard_size"},
                {"--hsdp", "parallelism_config.parallelism_config_dp_replicate_size"},
                {"--zero", "parallelism_config.parallelism_config_dp_shard_size"},
                {"--reshard", "fsdp_config.fsdp_reshard_after_forward"},
                {"--recompute", "fsdp_config.fsdp_activation_checkpointing"},
                {"--precision", "mixed_precision"},
                {"--micro-batch", "torchrun.sh: --per_device_train_batch_size"},
                {"--global-batch", "torchrun.sh: --gradient_accumulation_steps"},
                {"--seq", "torchrun.sh: --block_size"}},
      .rules = accelerate::rules(),
      .limits = {{"--recompute", "without FSDP the script recomputes, or whole layers"},
                 {"--sequence-parallel", "the model's own plan for tensor parallelism decides"},
                 {"gradient format", "weights and gradients are in fp32"}},
      .write = accelerate::write,
      .start =
          [](const Job& job, Version) {
            Start start;
            start.kind = Start::Kind::accelerate;
            start.program = fmt::format(
                "\"${{TRAIN:?a training script for the HF Trainer, such as run_clm.py}}\" \\\n"
                "  --per_device_train_batch_size {} --gradient_accumulation_steps {} "
                "--block_size {} ${{TRAIN_ARGS:-}}",
                job.plan.micro_batch, job.batch.micro_batches(job.plan), job.batch.sequence);
            start.needs = {
                "accelerate 1.15, transformers 4.52 or later, torch 2.6 or later",
                "a training script in `TRAIN`, its model and data in `TRAIN_ARGS`; it takes the "
                "batch flags of torchrun.sh and builds `ParallelismConfig()` without arguments "
                "(HF Trainer: `TrainingArguments(parallelism_config=...)`)"};
            return start;
          },
      .read = accelerate::read};
  return files;
}

}  // namespace meshplan::launch
