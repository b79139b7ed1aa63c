// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "strategies/launch/common.hpp"
#include "strategies/launch/format/formats.hpp"
#include "strategies/launch/torchtitan/files.hpp"
#include "strategies/program/lower.hpp"

namespace meshplan::launch::torchtitan {
namespace {

/// Module and flavor; by the name of the recipe where no model_registry call is seen.
const Flavor* flavor_in(const Settings& s, const std::string& entry, Version version) {
  if (version < kRecipes) return flavor_named(s.text("model.name", ""), s.text("model.flavor", ""));
  const std::string called = s.text("model_spec.flavor", s.text("model_spec.(0)", ""));
  const std::string recipe = s.text("()", entry);
  for (const Flavor& each : flavors()) {
    const bool module = recipe.rfind(each.module, 0) == 0 || entry.rfind(each.module, 0) == 0;
    if (!called.empty() ? module && called == each.flavor : recipe == each.base) return &each;
  }
  return nullptr;
}

void read_stages(Config& config) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  p.pp = static_cast<int>(s.integer("parallelism.pipeline_parallel_degree", 1));
  if (p.pp <= 1) return;
  const std::string name = s.text("parallelism.pipeline_parallel_schedule", "1F1B");
  const StageKind kind = stages_of(name);
  const int64_t layers = config.job.model.layers;
  const int64_t first = s.integer("parallelism.pipeline_parallel_first_stage_less_layers", 1);
  const int64_t last = s.integer("parallelism.pipeline_parallel_last_stage_less_layers", 1);
  const int64_t each = s.integer("parallelism.pipeline_parallel_layers_per_stage", 0);
  int64_t stages = int64_t{p.pp} * (kind == StageKind::looped ? 2 : 1);
  if (each > 0) stages = (layers + first + last + each - 1) / each;
  if (const Setting* parts = s.find("parallelism.module_fqns_per_model_part");
      parts != nullptr && parts->value.is_array()) {
    stages = static_cast<int64_t>(parts->value.size());
    for (const Json& part : parts->value)
      p.layer_split.push_back(
          static_cast<int>(std::count_if(part.begin(), part.end(), [](const Json& module) {
            return shown(module).rfind("layers.", 0) == 0;
          })));
  } else if (stages > 0) {
    p.layer_split = layers_with_ends(layers, stages, first, last);
  }
  p.vpp = static_cast<int>(std::max<int64_t>(1, stages / p.pp));
  std::string lower;
  for (const char c : name) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  p.schedule = lower == "gpipe"            ? ScheduleKind::gpipe
               : lower == "zbvzerobubble"  ? ScheduleKind::zb_v
               : kind == StageKind::looped ? ScheduleKind::interleaved
                                           : ScheduleKind::one_f_one_b;
  if (lower == "loopedbfs" || lower == "dualpipev" || lower == "interleavedzerobubble")
    config.notes.push_back(fmt::format("{}: {} is taken as the interleaved schedule",
                                       s.where("parallelism.pipeline_parallel_schedule"), name));
}

void read_batch(Config& config, Version version, const Given& given) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  if (version >= kTokens) {
    const int64_t sequence = s.integer("training.max_context_length", 2048);
    const int64_t micro = s.integer("training.num_tokens_per_microbatch_per_dp_rank", 16384);
    const int64_t inside = p.pp > 1 ? s.integer("parallelism.num_pp_microbatches", 1) : 1;
    set_sequence(config, sequence, given);
    p.micro_batch = static_cast<int>(sequence > 0 ? micro / sequence : 0);
    const int64_t step = s.integer("training.num_tokens_per_train_step", -1);
    set_global_batch(config,
                     (step > 0 ? step : micro * inside * p.dp()) / std::max<int64_t>(1, sequence),
                     given);
    return;
  }
  const int64_t local = s.integer("training.local_batch_size", 8);
  set_sequence(config, s.integer("training.seq_len", 2048), given);
  p.micro_batch = static_cast<int>(
      p.pp > 1 ? s.integer("parallelism.pipeline_parallel_microbatch_size", 1) : local);
  const int64_t global = s.integer("training.global_batch_size", -1);
  set_global_batch(config, global > 0 ? global : local * p.dp(), given);
}

/// By what converts linear layers (Float8LinearConverter, quantize.linear.mx, ...).
DType products_in(const std::string& converters, const std::string& parameters) {
  const auto has = [&](const char* word) { return converters.find(word) != std::string::npos; };
  if (has("FP4")) return DType::fp4;
  if (has("Float8") || has("MXFP8") || has("float8") || has("linear.mx")) return DType::fp8;
  return parameters == "float32" ? DType::fp32 : DType::bf16;
}

void read_recompute(Config& config, Version version) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  std::string kind;
  if (version < kRecipes) {
    kind = s.text("activation_checkpoint.mode", "selective");
    const std::string option = s.text("activation_checkpoint.selective_ac_option", "2");
    if (kind == "selective" && option != "op") {
      const int64_t every = std::max<int64_t>(1, std::atoll(option.c_str()));  // NOLINT
      p.recompute = Recompute::full;
      const int64_t stages = int64_t{p.pp} * p.vpp;
      p.recompute_layers = static_cast<int>(config.job.model.layers / stages / every);
      config.notes.push_back(
          fmt::format("{}: every {}. layer is recomputed; in the plan the first ones are",
                      s.where("activation_checkpoint.selective_ac_option"), every));
      return;
    }
  } else {
    kind = s.text("activation_checkpoint", s.has("activation_checkpoint") ? "none" : "Selective");
  }
  if (kind.rfind("Full", 0) == 0 || kind == "full") p.recompute = Recompute::full;
  if (kind.rfind("Selective", 0) == 0 || kind == "selective") {
    p.recompute = Recompute::selective;
    p.recompute_modules = recompute_unit("per-operation");
  }
  if (kind.rfind("MemoryBudget", 0) == 0 || kind == "memory_budget") {
    p.recompute = Recompute::selective;
    p.recompute_modules = recompute_unit("per-operation");
    config.notes.push_back(fmt::format("{}: a memory budget is taken as recompute by operation",
                                       s.where("activation_checkpoint")));
  }
}

}  // namespace

int64_t loss_chunks(const Settings& s) {
  const std::string loss = s.text("loss", "Chunked");
  const bool whole = loss.find("Chunked") == std::string::npos;
  return whole ? 1 : s.integer("loss.num_chunks", 8);
}

Result<Config> read(const std::string& text, const std::string& name, const Given& given,
                    Version version) {
  Config config;
  config.version = version;
  if (version < kRecipes) {
    MESHPLAN_TRY(config.settings, read_toml(text, name));
  } else {
    MESHPLAN_TRY(config.settings, read_python(text, name, given.entry));
  }
  const Settings& s = config.settings;
  set_machine(config, 0, 0, given);
  if (const Flavor* flavor = flavor_in(s, given.entry, version); flavor != nullptr) {
    MESHPLAN_TRY(Model model, find_model(flavor->model));
    adopt_model(config, std::move(model), given);
  } else {
    take_given_model(config, given);
  }
  Plan& p = config.job.plan;
  p.tp = static_cast<int>(s.integer("parallelism.tensor_parallel_degree", 1));
  p.sequence_parallel = s.boolean("parallelism.enable_sequence_parallel", true);
  p.cp = static_cast<int>(s.integer("parallelism.context_parallel_degree", 1));
  const bool rotates = s.text("parallelism.context_parallel_rotate_method", "") == "alltoall";
  p.cp_kind = rotates ? ContextParallel::ring : ContextParallel::all_gather;
  p.ep = static_cast<int>(s.integer("parallelism.expert_parallel_degree", 1));
  p.etp = static_cast<int>(s.integer("parallelism.expert_tensor_parallel_degree", 1));
  read_stages(config);
  const int64_t others = int64_t{p.tp} * p.cp * p.pp;
  const int64_t copies = s.integer("parallelism.data_parallel_replicate_degree", 1);
  int64_t shards = s.integer("parallelism.data_parallel_shard_degree", -1);
  if (shards < 0 && others > 0 && copies > 0)
    shards = std::max<int64_t>(1, config.job.gpus() / (others * copies));
  p.dp_shard = static_cast<int>(shards);
  p.dp_replicate = static_cast<int>(copies);
  p.zero = shards * p.cp > 1 ? 3 : 0;
  const std::string reshard = s.text("parallelism.fsdp_reshard_after_forward", "default");
  p.reshard_after_forward = reshard == "always" || (reshard == "default" && p.pp == 1);
  read_batch(config, version, given);
  read_recompute(config, version);
  p.compute =
      products_in(s.text(version < kRecipes ? "model.converters" : "model_spec.converters", ""),
                  s.text("training.mixed_precision_param", "bfloat16"));
  p.gradient = DType::fp32;
  if (version < kRecipes)
    MESHPLAN_CHECK(take_trainer(config, "torchtitan-2025", "model.name",
                                "0.2 makes all logits of a micro-batch at once"));
  if (!compiles(s, "model")) {
    MESHPLAN_CHECK(take_trainer(config,
                                version < kRecipes ? "torchtitan-eager-2025" : "torchtitan-eager",
                                "compile.enable", "the model is not compiled"));
    if (compiles(s, "loss"))
      MESHPLAN_CHECK(
          take_setting(config, "compile.components", {"kernels", "fused_cross_entropy", "true"}));
  }
  if (version >= kRecipes)
    MESHPLAN_CHECK(
        take_setting(config, "loss", {"kernels", "loss_chunks", std::to_string(loss_chunks(s))}));
  const char* beside = async_key(version);
  if (p.tp > 1)
    MESHPLAN_CHECK(take_setting(config, beside,
                                {"overlap", "tp", s.boolean(beside, false) ? "ring" : "none"}));
  return config;
}

}  // namespace meshplan::launch::torchtitan
