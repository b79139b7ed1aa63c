// SPDX-License-Identifier: Apache-2.0
// What torchtitan asks of its keys beyond what a plan may be (trainer.py,
// distributed/pipeline_parallel.py, config/configs.py, torch's pipelining/schedules.py).
#include <fmt/format.h>

#include <algorithm>

#include "strategies/launch/common.hpp"
#include "strategies/launch/torchtitan/files.hpp"

namespace meshplan::launch::torchtitan {
namespace {

constexpr const char* kSchedule = "parallelism.pipeline_parallel_schedule";
constexpr const char* kPerStage = "parallelism.pipeline_parallel_layers_per_stage";

int64_t pp_of(const Config& c) {
  return c.settings.integer("parallelism.pipeline_parallel_degree", 1);
}

void graphs(const Config& c, Report& r) {
  const bool on = !c.settings.boolean("training.disable_cuda_graphs", false);
  if (on && pp_of(c) > 1)
    r.add("training.disable_cuda_graphs", "CUDA graphs, on by default, exclude pipeline stages",
          "True");
  else if (on && c.settings.integer("parallelism.expert_parallel_degree", 1) > 1)
    r.add("training.disable_cuda_graphs",
          "CUDA graphs exclude the default exchange of experts, which asks the host", "True");
}

void stages_by_model(const Config& c, Report& r) {
  if (pp_of(c) > 1 && c.settings.text("model.name", "") == "qwen3")
    r.add("parallelism.pipeline_parallel_degree", "0.2 does not cut Qwen3 into pipeline stages",
          "1");
}

void schedule_name(const Config& c, Report& r) {
  if (stages_of(c.settings.text(kSchedule, "1F1B")) == StageKind::unknown)
    r.add(kSchedule, "there is no such schedule",
          "1F1B, GPipe, Interleaved1F1B, LoopedBFS, InterleavedZeroBubble, ZBVZeroBubble, "
          "DualPipeV");
}

void stages_by_schedule(const Config& c, Report& r) {
  const int64_t pp = pp_of(c);
  const std::string name = c.settings.text(kSchedule, "1F1B");
  const StageKind kind = stages_of(name);
  if (pp <= 1 || kind == StageKind::unknown || c.job.model.layers == 0) return;
  const auto stages = static_cast<int64_t>(c.job.plan.layer_split.size());
  const char* key = c.settings.has("parallelism.module_fqns_per_model_part")
                        ? "parallelism.module_fqns_per_model_part"
                        : kPerStage;
  if (stages % pp != 0)
    r.add(key, fmt::format("{} virtual stages cannot be dealt to {} ranks", stages, pp),
          nearest_multiples(pp, stages) + " stages");
  else if (kind == StageKind::single && stages != pp)
    r.add(key, fmt::format("{} has one stage a rank, not {}", name, stages / pp),
          "one stage a rank, or Interleaved1F1B");
  else if (kind == StageKind::looped && stages < 2 * pp)
    r.add(key, name + " has at least two stages a rank", "two stages a rank, or 1F1B");
}

void rounds(const Config& c, Report& r) {
  const int64_t pp = pp_of(c);
  const Plan& p = c.job.plan;
  if (pp <= 1 || p.schedule != ScheduleKind::interleaved || p.micro_batch < 1 || p.dp() < 1 ||
      !c.unknown.empty())
    return;
  const int64_t micro_batches = c.job.batch.micro_batches(p);
  const int64_t count = std::max<int64_t>(1, micro_batches / pp);
  if (micro_batches % count != 0)
    r.add(
        c.version >= kTokens ? "parallelism.num_pp_microbatches"
                             : "parallelism.pipeline_parallel_microbatch_size",
        fmt::format("{} micro-batches cannot be dealt into {} equal rounds", micro_batches, count),
        nearest_multiples(pp, micro_batches) + " micro-batches");
}

void async_tp(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const char* key = async_key(c.version);
  if (!s.boolean(key, false)) return;
  if (!compiles(s, "model"))
    r.add(key, "asynchronous tensor parallelism is made by the compiler",
          "compile.enable with the component \"model\"");
}

void context_kernel(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.integer("parallelism.context_parallel_degree", 1) <= 1) return;
  const std::string kernel = s.text("model_spec.attn_backend", "flex");
  if (kernel != "flex")
    r.add("model_spec.attn_backend", "context parallelism is done by FlexAttention", "flex");
  if (s.text("parallelism.spmd_backend", "spmd_types") != "spmd_types")
    r.add("parallelism.spmd_backend", "context parallelism needs this backend", "spmd_types");
}

void whole_sequences(const Config& c, Report& r) {
  const char* key = "training.num_tokens_per_microbatch_per_dp_rank";
  const int64_t tokens = c.settings.integer(key, 16384);
  const int64_t sequence = c.settings.integer("training.max_context_length", 2048);
  if (sequence > 0 && tokens % sequence != 0)
    r.add(key, "tokens, not sequences, are counted here: this is no whole number of sequences",
          nearest_multiples(sequence, tokens));
}

void whole_steps(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const Plan& p = c.job.plan;
  if (!c.unknown.empty() || p.dp() < 1) return;
  const bool tokens = c.version >= kTokens;
  const char* key = tokens ? "training.num_tokens_per_train_step" : "training.global_batch_size";
  const int64_t step = s.integer(key, -1);
  int64_t one = tokens ? s.integer("training.num_tokens_per_microbatch_per_dp_rank", 16384)
                       : s.integer("training.local_batch_size", 8);
  if (tokens && p.pp > 1) one *= s.integer("parallelism.num_pp_microbatches", 1);
  one *= p.dp();
  if (step > 0 && one > 0 && step % one != 0)
    r.add(key, fmt::format("a step is a multiple of what all ranks do at once, {}", one),
          nearest_multiples(one, step));
}

void micro_in_local(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const char* key = "parallelism.pipeline_parallel_microbatch_size";
  const int64_t local = s.integer("training.local_batch_size", 8), micro = s.integer(key, 1);
  if (pp_of(c) > 1 && micro > 0 && local % micro != 0)
    r.add(key, fmt::format("{} sequences are cut into micro-batches of these", local),
          nearest_divisors(local, micro));
}

/// A sequence is cut by 0.3, what a rank has of a micro-batch's tokens since (components/loss.py).
void loss_parts(const Config& c, Report& r) {
  const bool tokens = c.version >= kTokens;
  const char* key = tokens ? "training.num_tokens_per_microbatch_per_dp_rank" : "training.seq_len";
  const int64_t cut = c.settings.integer(key, tokens ? 16384 : 2048);
  const int64_t parts = loss_chunks(c.settings);
  const int64_t unit = parts * std::max(1, c.job.plan.cp);
  if (parts > 1 && cut > 0 && cut % unit != 0)
    r.add(key, fmt::format("a rank's share of them is cut into {} equal parts for the loss", parts),
          nearest_multiples(unit, cut));
}

void memory_budget(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const bool asked = s.text("activation_checkpoint", "").rfind("MemoryBudget", 0) == 0 ||
                     s.text("activation_checkpoint.mode", "") == "memory_budget";
  if (asked && !s.boolean("compile.enable", false))
    r.add("compile.enable", "a memory budget is kept by the compiler", "True");
}

}  // namespace

bool compiles(const Settings& s, const char* component) {
  const auto components = s.texts("compile.components");
  return s.boolean("compile.enable", false) &&
         (components.empty() ||
          std::find(components.begin(), components.end(), component) != components.end());
}

std::vector<ConfigRule> rules() {
  return {
      {"no-graphs", "pipeline stages and experts' exchange need disable_cuda_graphs", graphs, true,
       kRecipes},
      {"stages-by-model",
       "the model is one that is cut into stages",
       stages_by_model,
       true,
       {0, 0},
       kRecipes},
      {"schedule-name", "the schedule is one of torch's", schedule_name},
      {"stages-by-schedule", "stages are dealt evenly: one a rank, or at least two when looped",
       stages_by_schedule},
      {"equal-rounds", "interleaved: micro-batches fall into equal rounds of about pp", rounds},
      {"async-tp", "asynchronous tensor parallelism needs the compiled model", async_tp},
      {"context-kernel", "context parallelism needs FlexAttention and spmd_types", context_kernel,
       true, kRecipes},
      {"whole-sequences", "a micro-batch is whole sequences", whole_sequences, false, kTokens},
      {"whole-steps", "a step is a multiple of what all ranks do at once", whole_steps},
      {"micro-in-local",
       "micro-batches divide the local batch",
       micro_in_local,
       true,
       {0, 0},
       kTokens},
      {"loss-parts", "a micro-batch is whole parts of the loss", loss_parts, true, kRecipes},
      {"memory-budget", "a memory budget needs the compiler", memory_budget},
  };
}

}  // namespace meshplan::launch::torchtitan
