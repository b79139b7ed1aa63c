// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/format/formats.hpp"
#include "strategies/launch/nanotron/files.hpp"
#include "strategies/program/lower.hpp"

namespace meshplan::launch::nanotron {
namespace {

Model read_model(const Settings& s) {
  const auto at = [](const char* key) { return fmt::format("model.model_config.{}", key); };
  Model m;
  m.layers = s.integer(at("num_hidden_layers"), 0);
  m.hidden = s.integer(at("hidden_size"), 0);
  m.heads = s.integer(at("num_attention_heads"), 0);
  m.kv_heads = s.integer(at("num_key_value_heads"), m.heads);
  m.head_dim = m.heads > 0 ? m.hidden / m.heads : 0;
  m.intermediate = s.integer(at("intermediate_size"), 0);
  m.vocabulary = s.integer(at("vocab_size"), 0);
  m.max_positions = s.integer(at("max_position_embeddings"), 0);
  m.tied_embeddings = s.boolean(at("tie_word_embeddings"), false);
  m.rope_theta = s.number(at("rope_theta"), 10000);
  m.norm_epsilon = s.number(at("rms_norm_eps"), 1e-6);
  m.attention_bias = s.boolean(at("attention_bias"), false);
  m.id = "nanotron-model";
  m.name = fmt::format("model of {}", s.file());
  m.source = m.name;
  return m;
}

}  // namespace

Result<Config> read(const std::string& text, const std::string& name, const Given& given, Version) {
  Config config;
  MESHPLAN_TRY(config.settings, read_tree(text, name));
  const Settings& s = config.settings;
  set_machine(config, 0, 0, given);
  Model model = read_model(s);
  if (model.layers > 0 && model.hidden > 0 && model.heads > 0 && model.vocabulary > 0)
    adopt_model(config, std::move(model), given);
  else
    take_given_model(config, given);
  Plan& p = config.job.plan;
  p.tp = static_cast<int>(s.integer("parallelism.tp", 1));
  p.pp = static_cast<int>(s.integer("parallelism.pp", 1));
  p.cp = static_cast<int>(s.integer("parallelism.context_parallel_size", 1));
  p.cp_kind = ContextParallel::ring;
  p.ep = static_cast<int>(s.integer("parallelism.expert_parallel_size", 1));
  p.dp_shard = static_cast<int>(s.integer("parallelism.dp", 1));
  p.sequence_parallel = s.text("parallelism.tp_mode", "ALL_REDUCE") == "REDUCE_SCATTER";
  const char* beside = "parallelism.tp_linear_async_communication";
  if (p.sequence_parallel && p.tp > 1)
    MESHPLAN_CHECK(take_setting(config, beside,
                                {"overlap", "tp", s.boolean(beside, false) ? "bulk" : "none"}));
  p.schedule = s.text("parallelism.pp_engine", "1f1b") == "afab" ? ScheduleKind::gpipe
                                                                 : ScheduleKind::one_f_one_b;
  if (p.pp > 1 && config.knows("the model (--model)"))
    p.layer_split = layers_of_stages(config.job.trainer, config.job.model, p.pp);
  if (s.boolean("parallelism.recompute_layer", false)) p.recompute = Recompute::full;
  p.zero = static_cast<int>(s.integer("optimizer.zero_stage", 0));
  p.gradient = s.boolean("optimizer.accumulate_grad_in_fp32", true) ? DType::fp32 : DType::bf16;
  const std::string dtype = s.text("model.dtype", "bfloat16");
  p.compute = dtype == "float16" ? DType::fp16 : dtype == "float32" ? DType::fp32 : DType::bf16;
  p.micro_batch = static_cast<int>(s.integer("tokens.micro_batch_size", 1));
  set_sequence(config, s.integer("tokens.sequence_length", 0), given);
  set_global_batch(config,
                   s.integer("tokens.batch_accumulation_per_replica", 1) * p.micro_batch * p.dp(),
                   given);
  return config;
}

}  // namespace meshplan::launch::nanotron
