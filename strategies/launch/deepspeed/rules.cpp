// SPDX-License-Identifier: Apache-2.0
// What DeepSpeed asks of its keys beyond what a plan may be (runtime/config.py, utils/groups.py,
// runtime/zero/config.py).
#include <fmt/format.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/deepspeed/files.hpp"

namespace meshplan::launch::deepspeed {
namespace {

bool on(const Settings& s, const char* part) {
  return s.boolean(fmt::format("{}.enabled", part), false);
}

void stated(const Config& c, Report& r) {
  if (!c.settings.has("train_batch_size") && !c.settings.has("train_micro_batch_size_per_gpu"))
    r.add("train_batch_size", "neither the batch nor the micro-batch is given",
          "train_micro_batch_size_per_gpu: 1");
}

void batch(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const int64_t all = s.integer("train_batch_size", 0);
  const int64_t micro = s.integer("train_micro_batch_size_per_gpu", 0);
  const int64_t steps = s.integer("gradient_accumulation_steps", 0);
  if (!c.knows("the GPUs (--cluster)")) return;
  const int64_t dp = c.job.plan.dp();
  if (all > 0 && micro > 0 && steps > 0 && all != micro * steps * dp)
    r.add(
        "train_batch_size",
        fmt::format("{} x {} x {} data-parallel ranks = {}", micro, steps, dp, micro * steps * dp),
        fmt::format("{}", micro * steps * dp));
}

void one_format(const Config& c, Report& r) {
  if (on(c.settings, "bf16") && on(c.settings, "fp16"))
    r.add("fp16.enabled", "fp16 and bf16 exclude each other", "bf16 alone");
}

void stage(const Config& c, Report& r) {
  const int64_t stage = c.settings.integer("zero_optimization.stage", 0);
  if (stage < 0 || stage > 3)
    r.add("zero_optimization.stage", "stages are 0, 1, 2 and 3", stage > 3 ? "3" : "0");
}

void groups(const Config& c, Report& r) {
  const char* key = "zero_optimization.zero_hpz_partition_size";
  const int64_t size = c.settings.integer(key, 1);
  const int64_t ranks = c.job.gpus() / std::max<int64_t>(1, c.job.plan.tp);
  if (c.knows("the GPUs (--cluster)") && size > 1 && ranks % size != 0)
    r.add(key, fmt::format("{} ranks cannot be cut into groups of these", ranks),
          nearest_divisors(ranks, size));
}

void mics(const Config& c, Report& r) {
  const char* key = "zero_optimization.mics_shard_size";
  if (c.settings.integer(key, -1) > 0)
    r.add(key, "groups of shards (MiCS) were taken out of DeepSpeed",
          "leave it out; zero_hpz_partition_size keeps gathers inside groups");
}

void experts_alone(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const bool experts = on(s, "expert_parallel") && s.integer("expert_parallel.autoep_size", 1) > 1;
  if (experts && s.integer("tensor_parallel.autotp_size", 0) > 1 &&
      s.integer("zero_optimization.stage", 0) == 3)
    r.add("expert_parallel.autoep_size", "experts beside tensor parallelism exclude stage 3",
          "stage 2, or autotp_size 1");
}

void offload(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const int64_t stage = s.integer("zero_optimization.stage", 0);
  if (s.text("zero_optimization.offload_optimizer.device", "none") != "none" && stage < 1)
    r.add("zero_optimization.offload_optimizer.device", "only sharded states are moved", "stage 1");
  if (s.text("zero_optimization.offload_param.device", "none") != "none" && stage < 3)
    r.add("zero_optimization.offload_param.device", "only sharded weights are moved", "stage 3");
}

}  // namespace

std::vector<ConfigRule> rules() {
  return {
      {"batch-stated", "the batch or the micro-batch is given", stated},
      {"batch-product", "batch = micro-batch x accumulation x data-parallel ranks", batch},
      {"one-format", "fp16 or bf16", one_format},
      {"stage", "ZeRO stages are 0 to 3", stage},
      {"groups", "groups of shards divide the ranks", groups},
      {"no-mics", "there are no groups of shards (MiCS) any more", mics},
      {"experts-alone", "expert and tensor parallelism together exclude stage 3", experts_alone},
      {"offload-stage", "what is moved to the host is sharded", offload, false},
  };
}

}  // namespace meshplan::launch::deepspeed
