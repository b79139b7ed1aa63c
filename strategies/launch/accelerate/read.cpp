// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "strategies/launch/accelerate/files.hpp"
#include "strategies/launch/common.hpp"
#include "strategies/launch/format/formats.hpp"

namespace meshplan::launch::accelerate {

Result<Config> read(const std::string& text, const std::string& name, const Given& given, Version) {
  Config config;
  MESHPLAN_TRY(config.settings, read_tree(text, name));
  const Settings& s = config.settings;
  const int64_t machines = s.integer("num_machines", 1);
  const int64_t processes = s.integer("num_processes", 0);
  set_machine(config, machines, machines > 0 ? processes / machines : 0, given);
  take_given_model(config, given);
  set_sequence(config, 0, given);
  Plan& p = config.job.plan;
  const auto size = [&](const char* axis) {
    return static_cast<int>(
        s.integer(fmt::format("parallelism_config.parallelism_config_{}_size", axis), 1));
  };
  const bool fsdp = s.text("distributed_type", "") == "FSDP";
  p.tp = size("tp");
  p.sequence_parallel = false;
  p.cp = size("cp");
  const std::string kind = "parallelism_config.parallelism_config_cp_comm_strategy";
  p.cp_kind =
      s.text(kind, "allgather") == "alltoall" ? ContextParallel::ring : ContextParallel::all_gather;
  if (const int ulysses = size("sp"); ulysses > 1 && p.cp == 1) {
    p.cp = ulysses;
    p.cp_kind = ContextParallel::all_to_all;
  }
  const bool meshed = s.has("parallelism_config.parallelism_config_dp_shard_size") ||
                      s.has("parallelism_config.parallelism_config_dp_replicate_size");
  const int64_t others = int64_t{p.tp} * p.cp;
  const int dp =
      static_cast<int>(others > 0 ? std::max<int64_t>(1, config.job.gpus() / others) : 1);
  p.dp_replicate = meshed ? size("dp_replicate") : 1;
  p.dp_shard = meshed ? size("dp_shard") : dp;
  p.zero = fsdp && p.dp_shard * p.cp > 1 ? 3 : 0;
  const std::string strategy = s.text("fsdp_config.fsdp_sharding_strategy", "FULL_SHARD");
  const bool kept = strategy == "SHARD_GRAD_OP" || strategy == "2";
  p.reshard_after_forward = s.boolean("fsdp_config.fsdp_reshard_after_forward", !kept);
  if (strategy == "NO_SHARD") p.zero = 0;
  if (s.boolean("fsdp_config.fsdp_offload_params", false)) {
    p.optimizer_offload = true;
    config.notes.push_back(
        fmt::format("{}: weights are kept on the host, too; in the plan only "
                    "the optimizer is",
                    s.where("fsdp_config.fsdp_offload_params")));
  }
  if (s.boolean("fsdp_config.fsdp_activation_checkpointing", false)) p.recompute = Recompute::full;
  const std::string precision = s.text("mixed_precision", "no");
  p.compute = precision == "bf16"   ? DType::bf16
              : precision == "fp16" ? DType::fp16
              : precision == "fp8"  ? DType::fp8
                                    : DType::fp32;
  p.gradient = DType::fp32;
  p.micro_batch = given.micro_batch > 0 ? given.micro_batch : 1;
  if (given.micro_batch == 0)
    config.notes.emplace_back("micro-batch 1 is assumed: it is the script's (--micro-batch)");
  set_global_batch(config, 0, given);
  return config;
}

}  // namespace meshplan::launch::accelerate
