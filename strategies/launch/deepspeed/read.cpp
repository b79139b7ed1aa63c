// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/deepspeed/files.hpp"
#include "strategies/launch/format/formats.hpp"

namespace meshplan::launch::deepspeed {
namespace {

/// "auto" is filled in by the HF Trainer: the user has to say it.
int64_t number(Config& config, const std::string& key, int64_t otherwise) {
  if (config.settings.text(key, "") == "auto")
    config.notes.push_back(fmt::format("{}: \"auto\" is what the script says", key));
  return config.settings.integer(key, otherwise);
}

bool enabled(const Settings& s, const std::string& part) {
  return s.boolean(part + ".enabled", false) || s.text(part + ".enabled", "") == "auto";
}

}  // namespace

Result<Config> read(const std::string& text, const std::string& name, const Given& given, Version) {
  Config config;
  MESHPLAN_TRY(config.settings, read_tree(text, name));
  const Settings& s = config.settings;
  set_machine(config, 0, 0, given);
  take_given_model(config, given);
  set_sequence(config, 0, given);
  Plan& p = config.job.plan;
  p.tp = static_cast<int>(std::max<int64_t>(1, s.integer("tensor_parallel.autotp_size", 1)));
  p.sequence_parallel = false;
  p.cp = static_cast<int>(s.integer("sequence_parallel_size", 1));
  p.cp_kind = ContextParallel::all_to_all;
  if (enabled(s, "expert_parallel") || s.has("expert_parallel.autoep_size"))
    p.ep = static_cast<int>(s.integer("expert_parallel.autoep_size", 1));
  p.zero = static_cast<int>(s.integer("zero_optimization.stage", 0));
  set_data_parallel(config, 1);
  if (const int64_t hpz = s.integer("zero_optimization.zero_hpz_partition_size", 1); hpz > 1)
    config.notes.push_back(fmt::format(
        "{}: weights of the backward pass are gathered inside groups of {}; the plan gathers them "
        "from all ranks",
        s.where("zero_optimization.zero_hpz_partition_size"), hpz));
  const auto device = [&](const char* what) {
    return s.text(fmt::format("zero_optimization.{}.device", what), "none");
  };
  p.optimizer_offload = device("offload_optimizer") != "none";
  if (device("offload_param") != "none")
    config.notes.push_back(fmt::format("{}: weights are kept off the GPU; in the plan they are not",
                                       s.where("zero_optimization.offload_param.device")));
  p.compute = enabled(s, "bf16") || enabled(s, "bfloat16") ? DType::bf16
              : enabled(s, "fp16")                         ? DType::fp16
                                                           : DType::fp32;
  const std::string gradient = s.text("data_types.grad_accum_dtype", "");
  p.gradient = gradient == "fp32"   ? DType::fp32
               : gradient == "bf16" ? DType::bf16
               : gradient == "fp16" ? DType::fp16
                                    : gradient_of(given.trainer, p.compute);
  const int64_t all = number(config, "train_batch_size", 0);
  const int64_t micro = number(config, "train_micro_batch_size_per_gpu", 0);
  const int64_t steps = number(config, "gradient_accumulation_steps", 0);
  const int64_t dp = p.dp();
  int64_t one = micro > 0 ? micro : given.micro_batch;
  if (one == 0) one = steps > 0 && all > 0 ? all / (steps * dp) : all > 0 ? all / dp : 1;
  p.micro_batch = static_cast<int>(one);
  set_global_batch(config, all > 0 ? all : steps > 0 ? one * steps * dp : 0, given);
  // runtime/zero/config.py, overlap_comm_valid: without a word it is on at stage 3 only.
  const char* overlap = "zero_optimization.overlap_comm";
  if (p.dp() > 1)
    MESHPLAN_CHECK(take_setting(
        config, overlap, {"overlap", "grad_reduce", truth(s.boolean(overlap, p.zero == 3))}));
  p.recompute = given.recompute.value_or(Recompute::none);
  if (!given.recompute)
    config.notes.emplace_back("recompute is the script's, none is taken (--recompute says it)");
  return config;
}

}  // namespace meshplan::launch::deepspeed
