// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "strategies/launch/common.hpp"
#include "strategies/launch/format/formats.hpp"
#include "strategies/launch/megatron_bridge/files.hpp"
#include "strategies/launch/megatron_lm/files.hpp"

namespace meshplan::launch::megatron_bridge {
namespace {

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Name on the Hugging Face hub without its owner; else that of the recipe that is overridden or
/// begun with, without what follows the model: gpt_oss_120b_pretrain_config.
std::string model_named(const Settings& s) {
  std::string name = s.text("model.self.(0)", s.text("model.(0)", ""));
  if (!name.empty()) return name.substr(name.find_last_of('/') + 1);
  name = s.text("--recipe", s.text("()", ""));
  name = name.substr(0, name.find("_pretrain"));
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

const Recipe* recipe_of(const Model& model) {
  for (const Recipe& each : recipes())
    if (model.id == each.model) return &each;
  return nullptr;
}

void read_precision(Config& config) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  const std::string name = precision_named(s);
  const auto has = [&](const char* word) { return name.find(word) != std::string::npos; };
  p.compute = has("fp4")    ? DType::fp4
              : has("fp8")  ? DType::fp8
              : has("fp16") ? DType::fp16
                            : DType::bf16;
  p.gradient = s.boolean("ddp.grad_reduce_in_fp32", false) ? DType::fp32 : DType::bf16;
}

void read_recompute(Config& config) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  const std::string kind = s.text("model.recompute_granularity", "");
  if (kind == "full") {
    p.recompute = Recompute::full;
    if (s.text("model.recompute_method", "") == "block")
      p.recompute_layers = static_cast<int>(s.integer("model.recompute_num_layers", -1));
  }
  if (kind != "selective") return;
  p.recompute = Recompute::selective;
  std::vector<std::string> names = s.texts("model.recompute_modules");
  if (names.size() == 1 && names.front().rfind('[', 0) == 0) {  // an override is one word
    std::string list = names.front().substr(1, names.front().size() - 2), word;
    names.clear();
    for (const char c : list + ',') {
      if (c == ',')
        names.push_back(std::exchange(word, ""));
      else
        word += c;
    }
  }
  if (names.empty()) names = {"core_attn"};
  for (const auto& name : names) {
    const uint32_t modules = megatron_lm::modules_named(name);
    p.recompute_modules |= modules;
    if (modules == 0)
      config.notes.push_back(fmt::format("{}: '{}' is recomputed and not in the plan",
                                         s.where("model.recompute_modules"), name));
  }
}

}  // namespace

std::string precision_named(const Settings& s) {
  // get_mixed_precision_config("..."), bf16_with_fp8_current_scaling_mixed() or the name itself.
  return s.text("mixed_precision.(0)", s.text("mixed_precision", "bf16_mixed"));
}

Result<Config> read(const std::string& text, const std::string& name, const Given& given, Version) {
  Config config;
  if (ends_with(name, ".py")) {
    MESHPLAN_TRY(config.settings, read_python(text, name, given.entry));
  } else {
    MESHPLAN_TRY(config.settings, read_shell(text, name));
  }
  const Settings& s = config.settings;
  set_machine(config, 0, 0, given);
  // Functions begin in lower case or with "_"; constructors of configurations do not.
  const std::string base = s.text("()", "");
  if (!base.empty() && (base.front() == '_' || (base.front() >= 'a' && base.front() <= 'z')))
    config.notes.push_back(fmt::format(
        "{}: begins with {}() of another file, what that sets is not read", name, base));
  const Recipe* recipe = nullptr;
  if (auto model = find_model(model_named(s)); model.ok()) {
    recipe = recipe_of(*model);
    adopt_model(config, std::move(*model), given);
  } else {
    take_given_model(config, given);
  }
  Plan& p = config.job.plan;
  const auto degree = [&](const char* key, int otherwise) {
    return static_cast<int>(s.integer(fmt::format("model.{}", key), otherwise));
  };
  p.tp = degree("tensor_model_parallel_size", 1);
  p.sequence_parallel = s.boolean("model.sequence_parallel", false);
  p.pp = degree("pipeline_model_parallel_size", 1);
  p.cp = degree("context_parallel_size", 1);
  const std::string kind = s.text("model.cp_comm_type", "p2p");
  p.cp_kind = kind == "all_gather"        ? ContextParallel::all_gather
              : kind.rfind("a2a", 0) == 0 ? ContextParallel::all_to_all
                                          : ContextParallel::ring;
  p.ep = degree("expert_model_parallel_size", 1);
  const bool experts = config.job.model.moe.has_value();
  p.etp = degree("expert_tensor_parallel_size", experts ? p.tp : 1);
  const std::string layout = s.text("model.pipeline_model_parallel_layout", "");
  p.vpp = std::max(1, degree("virtual_pipeline_model_parallel_size", 1));
  if (!layout.empty() && p.pp > 1 && layout.front() != '[') {
    std::string flat, problem;
    for (const char c : layout)
      if (c != '\'' && c != '"') flat += c;
    p.layer_split = layout_split(flat, problem);
    if (!problem.empty())
      config.findings.push_back({ErrorKind::check, problem,
                                 s.where("model.pipeline_model_parallel_layout"), layout,
                                 "layout (megatron-bridge)", ""});
    p.vpp = std::max<int>(1, static_cast<int>(p.layer_split.size()) / p.pp);
  }
  const bool embedding = s.boolean("model.account_for_embedding_in_pipeline_split", false);
  const bool loss = s.boolean("model.account_for_loss_in_pipeline_split", false);
  if (p.pp > 1 && p.layer_split.empty() && (embedding || loss))
    p.layer_split =
        split_with_ends(config.job.model.layers, int64_t{p.pp} * p.vpp, embedding, loss);
  p.schedule = p.vpp > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  p.schedule_group = degree("microbatch_group_size_per_vp_stage", 0);
  p.zero = s.boolean("ddp.use_distributed_optimizer", true) ? 1 : 0;
  if (s.boolean("ddp.use_megatron_fsdp", false)) {
    const std::string strategy = s.text("ddp.data_parallel_sharding_strategy", "no_shard");
    p.zero = strategy == "optim_grads_params" ? 3 : strategy == "optim_grads" ? 2 : p.zero;
  }
  set_data_parallel(config, s.integer("ddp.num_distributed_optimizer_instances", 1));
  p.optimizer_offload = s.boolean("optimizer.optimizer_cpu_offload", false);
  read_precision(config);
  read_recompute(config);
  p.micro_batch = static_cast<int>(s.integer("train.micro_batch_size", 1));
  set_sequence(config, s.integer("dataset.seq_length", s.integer("model.seq_length", 0)), given);
  set_global_batch(config, s.integer("train.global_batch_size", 0), given);
  const bool own = std::any_of(s.all().begin(), s.all().end(), [](const Setting& each) {
    return each.key.rfind("comm_overlap", 0) == 0;
  });
  MESHPLAN_CHECK(read_mechanisms(config, own || (recipe != nullptr && recipe->overlap)));
  return config;
}

}  // namespace meshplan::launch::megatron_bridge
