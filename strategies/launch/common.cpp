// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/common.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <sstream>

#include "strategies/program/lower.hpp"
#include "strategies/trainer/settings.hpp"

namespace meshplan::launch {
namespace {

bool same(const std::optional<Moe>& a, const std::optional<Moe>& b) {
  if (a.has_value() != b.has_value()) return false;
  if (!a) return true;
  return a->experts == b->experts && a->top_k == b->top_k &&
         a->expert_intermediate == b->expert_intermediate && a->latent == b->latent &&
         a->shared_intermediate == b->shared_intermediate && a->shared_gate == b->shared_gate &&
         a->first_dense_layers == b->first_dense_layers && a->every == b->every;
}

bool same(const std::optional<Mla>& a, const std::optional<Mla>& b) {
  if (a.has_value() != b.has_value()) return false;
  if (!a) return true;
  return a->q_lora_rank == b->q_lora_rank && a->kv_lora_rank == b->kv_lora_rank &&
         a->qk_nope_head_dim == b->qk_nope_head_dim && a->qk_rope_head_dim == b->qk_rope_head_dim &&
         a->v_head_dim == b->v_head_dim;
}

}  // namespace

bool same_shape(const Model& a, const Model& b) {
  const bool attention =
      a.mla ? same(a.mla, b.mla) : !b.mla && a.kv_heads == b.kv_heads && a.head_dim == b.head_dim;
  return attention && a.layers == b.layers && a.hidden == b.hidden && a.heads == b.heads &&
         (layers_of(a, LayerKind::dense) == 0 || a.intermediate == b.intermediate) &&
         a.vocabulary == b.vocabulary && a.tied_embeddings == b.tied_embeddings &&
         a.norm == b.norm && a.activation == b.activation && a.attention_bias == b.attention_bias &&
         a.attention_output_bias == b.attention_output_bias && a.mlp_bias == b.mlp_bias &&
         a.qk_norm == b.qk_norm && a.positions == b.positions && a.window == b.window &&
         a.parallel_residual == b.parallel_residual && a.norms_per_layer == b.norms_per_layer &&
         same(a.moe, b.moe) && parameters(a) == parameters(b);
}

void adopt_model(Config& config, Model described, const Given& given) {
  if (given.model && same_shape(*given.model, described)) {
    config.job.model = *given.model;
    return;
  }
  if (given.model) {
    config.model_differs = true;
    config.notes.push_back(fmt::format("the file's model is not {}: {} layers of {}, {} parameters",
                                       given.model->id, described.layers, described.hidden,
                                       parameters(described)));
  }
  config.job.model = std::move(described);
}

void take_given_model(Config& config, const Given& given) {
  if (given.model)
    config.job.model = *given.model;
  else
    config.unknown.emplace_back("the model (--model)");
}

void set_sequence(Config& config, int64_t stated, const Given& given) {
  config.job.batch.sequence = stated > 0 ? stated : given.sequence;
  if (config.job.batch.sequence <= 0) config.unknown.emplace_back("the sequence length (--seq)");
}

void set_global_batch(Config& config, int64_t stated, const Given& given) {
  config.job.batch.global_sequences = stated > 0 ? stated : given.global_sequences;
  if (config.job.batch.global_sequences <= 0)
    config.unknown.emplace_back("the batch (--global-batch)");
}

void set_machine(Config& config, int64_t nodes, int64_t gpus_per_node, const Given& given) {
  Job& job = config.job;
  job.nodes = given.nodes > 0 ? given.nodes : nodes;
  job.gpus_per_node = given.gpus_per_node > 0 ? given.gpus_per_node : gpus_per_node;
  if (job.gpus() <= 0) config.unknown.emplace_back("the GPUs (--cluster)");
  job.nodes = std::max<int64_t>(1, job.nodes);
  job.gpus_per_node = std::max<int64_t>(1, job.gpus_per_node);
  job.compute_capability = given.compute_capability;
  job.trainer = given.trainer;
}

Status take_trainer(Config& config, const char* id, const std::string& key, const char* why) {
  std::string rank_order = config.job.trainer.rank_order;
  MESHPLAN_TRY(config.job.trainer, find_trainer(id));
  config.job.trainer.rank_order = std::move(rank_order);
  config.notes.push_back(fmt::format("{}: {}; trainer {}", config.settings.where(key), why, id));
  return Done{};
}

Status take_setting(Config& config, const std::string& key, const TrainerSetting& setting) {
  Trainer& trainer = config.job.trainer;
  const auto before = trainer.settings;
  MESHPLAN_CHECK(set(trainer, setting));
  if (trainer.settings != before)
    config.notes.push_back(fmt::format("{}{}; {}", config.settings.where(key),
                                       config.settings.has(key) ? "" : " is not set",
                                       to_text(setting)));
  return Done{};
}

Status take_switches(Config& config, const std::vector<Switch>& switches, bool absent_is_off) {
  for (const Switch& each : switches) {
    if (each.matters != nullptr && !each.matters(config.job)) continue;
    if (!absent_is_off && !config.settings.has(each.name)) continue;
    const bool said = config.settings.boolean(each.name, false);
    MESHPLAN_CHECK(
        take_setting(config, each.name, {each.section, each.fact, truth(said == each.on)}));
  }
  return Done{};
}

void set_data_parallel(Config& config, int64_t copies) {
  Plan& plan = config.job.plan;
  const int64_t others = int64_t{plan.tp} * plan.cp * plan.pp;
  const int64_t dp = others > 0 ? std::max<int64_t>(1, config.job.gpus() / others) : 1;
  copies = std::max<int64_t>(1, copies);
  plan.dp_replicate = static_cast<int>(copies);
  plan.dp_shard = static_cast<int>(std::max<int64_t>(1, dp / copies));
}

std::string layout_text(const std::vector<int>& split) {
  std::string out = "E";
  for (size_t i = 0; i < split.size(); ++i) {
    if (i > 0) out += '|';
    if (split[i] == 1) out += 't';
    if (split[i] > 1) out += fmt::format("t*{}", split[i]);
  }
  return out + "L";
}

std::vector<int> layout_split(const std::string& text, std::string& problem) {
  std::string flat;
  for (const char c : text)
    if (c != ',' && c != ' ') flat += c;
  const auto unroll = [&](const std::regex& pattern) {
    std::smatch found;
    while (std::regex_search(flat, found, pattern)) {
      std::string times;
      const int count = std::stoi(found[2].str().substr(0, 4));
      for (int i = 0; i < count; ++i) times += found[1].str();
      flat = found.prefix().str() + times + found.suffix().str();
    }
  };
  unroll(std::regex(R"(\(([^)]+)\)\*(\d+))"));
  unroll(std::regex(R"(([EtmL|])\*(\d+))"));
  if (flat.find_first_not_of("EtmL|") != std::string::npos) {
    problem = "a layout is made of E, t, m, L and |, with *N for repeats";
    return {};
  }
  std::vector<int> out(1, 0);
  for (const char c : flat) {
    if (c == '|') out.push_back(0);
    if (c == 't') ++out.back();
  }
  return out;
}

std::vector<int> split_with_ends(int64_t layers, int64_t stages, bool embedding, bool loss) {
  const int64_t counted = layers + embedding + loss;
  if (stages < 1 || counted % stages != 0) return {};
  return layers_with_ends(layers, stages, embedding, loss);
}

std::string nearest_divisors(int64_t whole, int64_t value) {
  int64_t below = 1, above = 0;
  for (int64_t d = std::min(whole, value - 1); d >= 1; --d)
    if (whole % d == 0) {
      below = d;
      break;
    }
  for (int64_t d = value + 1; d <= whole; ++d)
    if (whole % d == 0) {
      above = d;
      break;
    }
  return above > 0 ? fmt::format("{} or {}", below, above) : fmt::format("{}", below);
}

std::string nearest_multiples(int64_t step, int64_t value) {
  const int64_t below = step > 0 ? value / step * step : 0;
  return below > 0 ? fmt::format("{} or {}", below, below + step) : fmt::format("{}", step);
}

}  // namespace meshplan::launch
