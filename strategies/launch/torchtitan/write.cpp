// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/torchtitan/files.hpp"
#include "strategies/launch/trainers.hpp"
#include "strategies/program/lower.hpp"

namespace meshplan::launch {
namespace torchtitan {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string quoted(const std::string& text) { return '"' + text + '"'; }

const char* schedule_name(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::gpipe:
      return "GPipe";
    case ScheduleKind::interleaved:
      return "Interleaved1F1B";
    case ScheduleKind::zb_v:
      return "ZBVZeroBubble";
    default:
      return "1F1B";
  }
}

/// ["tok_embeddings", "layers.0", ...] of each virtual stage.
std::vector<std::vector<std::string>> parts_of(const std::vector<int>& split, Version version) {
  std::vector<std::vector<std::string>> out;
  int layer = 0;
  for (size_t i = 0; i < split.size(); ++i) {
    std::vector<std::string> names;
    if (i == 0) names.push_back(quoted("tok_embeddings"));
    for (int k = 0; k < split[i]; ++k) names.push_back(quoted(fmt::format("layers.{}", layer++)));
    if (i + 1 == split.size()) {
      names.push_back(quoted("norm"));
      names.push_back(quoted(version < kRecipes ? "output" : "lm_head"));
    }
    out.push_back(std::move(names));
  }
  return out;
}

std::string list_of(const std::vector<std::vector<std::string>>& parts, const char* indent) {
  std::string out = "[\n";
  for (const auto& part : parts) out += fmt::format("{}    [{}],\n", indent, fmt::join(part, ", "));
  return out + indent + ']';
}

Result<Pairs> parallelism(const Job& job, Version version) {
  const Plan& p = job.plan;
  const auto text = [](int64_t number) { return std::to_string(number); };
  const bool toml = version < kRecipes;
  const bool sharded = p.zero == 3;
  Pairs out = {
      {"data_parallel_replicate_degree", text(sharded ? p.dp_replicate : p.dp())},
      {"data_parallel_shard_degree", text(sharded ? p.dp_shard : 1)},
      {"fsdp_reshard_after_forward",
       quoted(sharded && !p.reshard_after_forward ? "never" : "always")},
      {"tensor_parallel_degree", text(p.tp)},
      {"context_parallel_degree", text(p.cp)},
      {"pipeline_parallel_degree", text(p.pp)},
  };
  if (!toml && p.tp > 1 && !p.sequence_parallel)
    out.emplace_back("enable_sequence_parallel", "False");
  if (toml)
    out.emplace_back("enable_async_tensor_parallel",
                     job.trainer.tp_overlap == TpOverlap::none ? "false" : "true");
  if (toml && p.cp > 1)
    out.emplace_back("context_parallel_rotate_method",
                     quoted(p.cp_kind == ContextParallel::ring ? "alltoall" : "allgather"));
  if (job.model.moe) out.emplace_back("expert_parallel_degree", text(p.ep));
  if (toml && job.model.moe) out.emplace_back("expert_tensor_parallel_degree", text(p.etp));
  if (p.pp > 1) {
    MESHPLAN_TRY(const std::vector<int> split, layers_per_virtual_stage(job.model, p));
    out.emplace_back("pipeline_parallel_schedule", quoted(schedule_name(p.schedule)));
    if (version < kTokens)
      out.emplace_back("pipeline_parallel_microbatch_size", text(p.micro_batch));
    else
      out.emplace_back("num_pp_microbatches", text(job.batch.micro_batches(p)));
    out.emplace_back("module_fqns_per_model_part",
                     list_of(parts_of(split, version), toml ? "" : "        "));
  }
  return out;
}

Pairs training(const Job& job, Version version) {
  const Plan& p = job.plan;
  const Batch& b = job.batch;
  const int64_t micro_batches = p.pp > 1 ? b.micro_batches(p) : 1;
  Pairs out;
  if (version < kTokens) {
    out = {{"local_batch_size", std::to_string(micro_batches * p.micro_batch)},
           {"global_batch_size", std::to_string(b.global_sequences)},
           {"seq_len", std::to_string(b.sequence)}};
  } else {
    out = {{"max_context_length", std::to_string(b.sequence)},
           {"num_tokens_per_microbatch_per_dp_rank", std::to_string(p.micro_batch * b.sequence)},
           {"num_tokens_per_train_step", std::to_string(b.global_sequences * b.sequence)}};
  }
  out.emplace_back("steps", "1000");
  if (p.compute == DType::fp32) out.emplace_back("mixed_precision_param", quoted("float32"));
  if (version >= kRecipes && (p.pp > 1 || p.ep > 1))
    out.emplace_back("disable_cuda_graphs", "True");
  return out;
}

std::string section(const char* name, const Pairs& pairs) {
  std::string out = fmt::format("\n[{}]\n", name);
  for (const auto& [key, value] : pairs) out += fmt::format("{} = {}\n", key, value);
  return out;
}

std::string call(const char* name, const Pairs& pairs) {
  std::string out = fmt::format("{}(\n", name);
  for (const auto& [key, value] : pairs) out += fmt::format("        {}={},\n", key, value);
  return out + "    )";
}

bool compiles_anything(const Trainer& trainer) {
  return trainer.compiled || trainer.fused_cross_entropy;
}

/// What torch.compile is for: the loss alone is what makes it one kernel beside an eager model.
const char* components(const Trainer& trainer) {
  return !trainer.compiled && trainer.fused_cross_entropy ? "[\"loss\"]" : "[\"model\", \"loss\"]";
}

std::string toml_file(const Job& job, const Flavor& flavor, const Pairs& parallel) {
  const Plan& p = job.plan;
  const bool fp8 = p.compute == DType::fp8;
  std::string out = "# A plan of meshplan for torchtitan 0.2\n";
  if (job.trainer.loss_chunks > 1)
    out +=
        "# Priced with the loss in parts, as of 0.3; 0.2 makes all logits at once, which takes "
        "more\n"
        "# memory: --trainer torchtitan-2025 plans with that.\n";
  out += section("job", {{"description", quoted(fmt::format("{}, {}", job.model.id, to_text(p)))}});
  Pairs model = {{"name", quoted(flavor.module)},
                 {"flavor", quoted(flavor.flavor)},
                 {"hf_assets_path", quoted(fmt::format("./assets/hf/{}", flavor.assets))}};
  if (fp8) model.emplace_back("converters", "[\"quantize.linear.float8\"]");
  out += section("model", model);
  out += section("training", training(job, {0, 2}));
  out += section("parallelism", parallel);
  Pairs recompute = {{"mode", quoted(to_text(p.recompute))}};
  if (p.recompute == Recompute::selective)
    recompute.emplace_back("selective_ac_option", quoted("op"));
  out += section("activation_checkpoint", recompute);
  out += section("compile", {{"enable", compiles_anything(job.trainer) ? "true" : "false"},
                             {"components", components(job.trainer)}});
  if (fp8)
    out += section("quantize.linear.float8",
                   {{"recipe_name", quoted("tensorwise")}, {"filter_fqns", "[\"output\"]"}});
  return out;
}

std::string recipe_file(const Job& job, const Flavor& flavor, const Pairs& parallel,
                        Version version) {
  const Plan& p = job.plan;
  const bool fp8 = p.compute == DType::fp8;
  const char* recompute = p.recompute == Recompute::full        ? "FullAC"
                          : p.recompute == Recompute::selective ? "SelectiveAC"
                                                                : nullptr;
  std::string out =
      fmt::format("# A plan of meshplan for torchtitan {}: {}\n", to_text(version), to_text(p));
  if (fp8) out += "from torchtitan.components.quantization import Float8LinearConverter\n";
  out += "from torchtitan.config import CompileConfig, ParallelismConfig, TrainingConfig\n";
  if (recompute != nullptr)
    out += fmt::format("from torchtitan.distributed.activation_checkpoint import {}\n", recompute);
  out += fmt::format(
      "from torchtitan.models.{0} import model_registry\n"
      "from torchtitan.models.{0}.config_registry import {1}\n"
      "from torchtitan.trainer import Trainer\n\n\n"
      "def plan() -> Trainer.Config:\n"
      "    config = {1}()  # data, optimizer and checkpoints as there\n"
      "    config.hf_assets_path = \"./assets/hf/{2}\"\n",
      flavor.module, flavor.base, flavor.assets);
  Pairs registry = {{"flavor", quoted(flavor.flavor)}, {"attn_backend", quoted("flex")}};
  if (job.trainer.loss_chunks == 1)
    out += "    config.loss = config.loss.loss_fn  # all logits at once, as priced\n";
  if (fp8) {
    registry.emplace_back("converters",
                          fmt::format("[Float8LinearConverter.Config(recipe_name=\"rowwise\", "
                                      "filter_fqns=[\"lm_head\"], model_compile_enabled={})]",
                                      job.trainer.compiled ? "True" : "False"));
    out +=
        "    # torchtitan has no scales by tensor here, which is what is priced; by row is "
        "slower\n";
  }
  out += "    config.model_spec = " + call("model_registry", registry) + '\n';
  out += "    config.parallelism = " + call("ParallelismConfig", parallel) + '\n';
  out += "    config.training = " + call("TrainingConfig", training(job, version)) + '\n';
  out += recompute == nullptr
             ? "    config.activation_checkpoint = None\n"
             : fmt::format("    config.activation_checkpoint = {}.Config()\n", recompute);
  out += fmt::format(
      "    config.compile = CompileConfig(enable={}, components={}{})\n",
      compiles_anything(job.trainer) ? "True" : "False", components(job.trainer),
      job.trainer.tp_overlap == TpOverlap::none ? "" : ", enable_async_tensor_parallel=True");
  return out + "    return config\n";
}

}  // namespace

Result<std::string> write(const Job& job, Version version) {
  const Flavor* flavor = flavor_of(job.model);
  if (flavor == nullptr) {
    std::vector<std::string> known;
    for (const Flavor& each : flavors()) known.emplace_back(each.model);
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message =
                          "torchtitan has this model under no name, and a shape is no "
                          "setting of it",
                      .where = "model",
                      .value = job.model.id,
                      .hint = fmt::format("it has {}", fmt::join(known, ", "))};
  }
  MESHPLAN_TRY(const Pairs parallel, parallelism(job, version));
  return version < kRecipes ? toml_file(job, *flavor, parallel)
                            : recipe_file(job, *flavor, parallel, version);
}

}  // namespace torchtitan

const TrainerFiles& torchtitan_files() {
  static const TrainerFiles files = {
      .id = "torchtitan",
      .name = "torchtitan, a recipe function (0.3, 0.4) or TOML (0.2)",
      .plans = "torchtitan",
      .file = "meshplan_recipe.py",
      .versions = {{0, 4}, {0, 3}, {0, 2}},
      .knobs = {{"--tp", "parallelism.tensor_parallel_degree"},
                {"--sequence-parallel", "parallelism.enable_sequence_parallel"},
                {"--pp", "parallelism.pipeline_parallel_degree"},
                {"--vpp", "parallelism.module_fqns_per_model_part"},
                {"--schedule", "parallelism.pipeline_parallel_schedule"},
                {"--layer-split", "parallelism.module_fqns_per_model_part"},
                {"--cp", "parallelism.context_parallel_degree"},
                {"--ep", "parallelism.expert_parallel_degree"},
                {"--dp", "parallelism.data_parallel_shard_degree"},
                {"--hsdp", "parallelism.data_parallel_replicate_degree"},
                {"--zero", "parallelism.data_parallel_shard_degree"},
                {"--reshard", "parallelism.fsdp_reshard_after_forward"},
                {"--micro-batch", "training.num_tokens_per_microbatch_per_dp_rank"},
                {"--global-batch", "training.num_tokens_per_train_step"},
                {"--seq", "training.max_context_length"},
                {"--recompute", "activation_checkpoint"},
                {"--precision", "model_spec.converters"}},
      .rules = torchtitan::rules(),
      .limits = {{"--cp-kind", "FlexAttention gathers keys and values of all ranks"},
                 {"--sequence-parallel", "0.2 has no switch for it"},
                 {"--schedule-group", "its interleaved schedule is depth-first"},
                 {"--recompute", "it recomputes by operation, or whole layers"},
                 {"--precision", "its products are in bf16 or fp8"},
                 {"gradient format", "gradients are accumulated and reduced in fp32"}},
      .write = torchtitan::write,
      .start =
          [](const Job&, Version version) {
            Start start;
            start.environment = {{"PYTORCH_ALLOC_CONF", "expandable_segments:True"}};
            if (version < torchtitan::kRecipes) {
              start.program = "-m torchtitan.train --job.config_file \"$PWD/meshplan.toml\"";
            } else {
              start.environment.emplace_back("PYTHONPATH", "\"$PWD:${PYTHONPATH:-}\"");
              start.program = "-m torchtitan.train --module meshplan_recipe --config plan";
            }
            start.needs = {"torchtitan " + to_text(version) +
                           " with the torch it asks for, and the tokenizer in ./assets/hf"};
            return start;
          },
      .read = torchtitan::read,
      .file_of =
          [](Version version) {
            return version < torchtitan::kRecipes ? "meshplan.toml" : "meshplan_recipe.py";
          }};
  return files;
}

}  // namespace meshplan::launch
