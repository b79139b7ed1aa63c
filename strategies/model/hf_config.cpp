// SPDX-License-Identifier: Apache-2.0
#include "strategies/model/hf_config.hpp"

#include <algorithm>
#include <map>

#include "topologies/base/nearest.hpp"

namespace meshplan {
namespace {

constexpr int64_t kLargest = int64_t{1} << 26;  ///< of any dimension: products stay in 64 bits

/// A whole number from 1 to kLargest under the first of `keys` that is there.
int64_t dimension(MapReader& config, const std::vector<std::string>& keys) {
  for (const auto& key : keys) {
    if (!config.has(key) || config.is_null(key)) continue;
    const int64_t value = config.integer(key);
    if (value < 1 || value > kLargest)
      config.problem(key, "must be a whole number from 1 to " + std::to_string(kLargest));
    return std::clamp<int64_t>(value, 1, kLargest);
  }
  config.problem(keys.front(), "key '" + keys.front() + "' is missing",
                 suggest(keys.front(), config.keys()));
  return 1;
}

/// Same, with a fallback when none of the keys is there; zero is allowed.
int64_t dimension(MapReader& config, const std::vector<std::string>& keys, int64_t fallback) {
  for (const auto& key : keys) {
    if (!config.has(key) || config.is_null(key)) continue;
    const int64_t value = config.integer(key);
    if (value < 0 || value > kLargest)
      config.problem(key, "must be a whole number from 0 to " + std::to_string(kLargest));
    return std::clamp<int64_t>(value, 0, kLargest);
  }
  return fallback;
}

ActivationType activation_from(MapReader& config, const std::string& key, bool gated,
                               const std::string& fallback) {
  static const std::map<std::string, ActivationType> plain = {
      {"gelu", ActivationType::gelu},      {"gelu_new", ActivationType::gelu},
      {"gelu_fast", ActivationType::gelu}, {"gelu_pytorch_tanh", ActivationType::gelu},
      {"relu", ActivationType::relu},      {"relu2", ActivationType::squared_relu},
      {"silu", ActivationType::silu},      {"swish", ActivationType::silu}};
  std::vector<std::string> legal;
  legal.reserve(plain.size());
  for (const auto& [name, type] : plain) legal.push_back(name);
  const ActivationType type = plain.at(config.choice(key, legal, fallback));
  if (!gated) return type;
  return type == ActivationType::gelu ? ActivationType::geglu : ActivationType::swiglu;
}

void read_rope(MapReader& config, Model& m) {
  // transformers 5 gathers theta and scaling in `rope_parameters`; older files have two keys.
  const std::string key = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  m.rope_theta = config.positive("rope_theta", m.rope_theta);
  m.rotary_fraction = config.positive("partial_rotary_factor", m.rotary_fraction);
  if (!config.has(key) || config.is_null(key)) return;
  MapReader rope = config.map(key);
  m.rope_theta = rope.positive("rope_theta", m.rope_theta);
  const std::string type =
      rope.choice(rope.has("rope_type") ? "rope_type" : "type",
                  {"default", "linear", "dynamic", "llama3", "yarn", "longrope", "su"}, "default");
  static const std::map<std::string, RopeScaling> scalings = {
      {"default", RopeScaling::none},    {"linear", RopeScaling::linear},
      {"dynamic", RopeScaling::dynamic}, {"llama3", RopeScaling::llama3},
      {"yarn", RopeScaling::yarn},       {"longrope", RopeScaling::longrope},
      {"su", RopeScaling::longrope}};
  m.rope_scaling = scalings.at(type);
  m.rope_factor = rope.positive("factor", 1);
  if (m.rope_scaling == RopeScaling::llama3) {
    m.rope_low_freq_factor = rope.positive("low_freq_factor");
    m.rope_high_freq_factor = rope.positive("high_freq_factor");
    m.rope_original_positions = dimension(rope, {"original_max_position_embeddings"});
  } else {
    m.rope_original_positions = dimension(rope, {"original_max_position_embeddings"}, 0);
  }
}

void read_window(MapReader& config, Model& m) {
  m.window = dimension(config, {"sliding_window"}, 0);
  if (!config.boolean("use_sliding_window", true)) m.window = 0;
  const std::vector<std::string> types = config.texts("layer_types");
  if (m.window == 0 || types.empty()) return;
  // Layer types repeat; the position of the first full layer is the period.
  const auto full = std::find(types.begin(), types.end(), "full_attention");
  if (full == types.begin())
    m.window = std::count(types.begin(), types.end(), "full_attention") ==
                       static_cast<int64_t>(types.size())
                   ? 0
                   : m.window;
  if (full != types.end() && full != types.begin())
    m.full_attention_every = full - types.begin() + 1;
}

void read_mla(MapReader& config, Model& m) {
  Mla mla;
  mla.q_lora_rank = dimension(config, {"q_lora_rank"}, 0);
  mla.kv_lora_rank = dimension(config, {"kv_lora_rank"});
  mla.qk_nope_head_dim = dimension(config, {"qk_nope_head_dim"});
  mla.qk_rope_head_dim = dimension(config, {"qk_rope_head_dim"});
  mla.v_head_dim = dimension(config, {"v_head_dim"});
  m.head_dim = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
  m.kv_heads = m.heads;
  m.mla = mla;
}

/// Kimi K2 has the layers of DeepSeek-V3.
bool is_deepseek(const std::string& type) {
  return type == "deepseek_v2" || type == "deepseek_v3" || type == "kimi_k2";
}

void read_moe(MapReader& config, const std::string& type, Model& m) {
  Moe moe;
  moe.experts = dimension(config, {"num_experts", "num_local_experts", "n_routed_experts"});
  const std::string top_k =
      config.has("experts_per_token") ? "experts_per_token" : "num_experts_per_tok";
  moe.top_k = dimension(config, {top_k});
  if (moe.top_k > moe.experts)
    config.problem(top_k, "a token cannot visit more experts than there are",
                   "at most " + std::to_string(moe.experts));
  moe.expert_intermediate = dimension(config, {"moe_intermediate_size"}, m.intermediate);
  if (is_deepseek(type) || type == "glm4_moe") {
    moe.shared_experts = dimension(config, {"n_shared_experts"}, 0);
    moe.shared_intermediate = moe.shared_experts * moe.expert_intermediate;
    moe.first_dense_layers = dimension(config, {"first_k_dense_replace"}, 0);
    moe.every = dimension(config, {"moe_layer_freq"}, 1);
    const bool v3 = type != "deepseek_v2";
    moe.router = config.choice("scoring_func", {"softmax", "sigmoid"},
                               v3 ? "sigmoid" : "softmax") == "sigmoid"
                     ? Router::sigmoid
                     : Router::softmax;
    moe.router_bias =
        config.text("topk_method", v3 ? "noaux_tc" : "group_limited_greedy") == "noaux_tc";
    moe.normalise_top_k = config.boolean("norm_topk_prob", v3);
    moe.groups = dimension(config, {"n_group"}, 0);
    moe.groups_per_token = dimension(config, {"topk_group"}, 0);
  } else if (type == "qwen2_moe" || type == "qwen3_moe") {
    moe.shared_intermediate = dimension(config, {"shared_expert_intermediate_size"}, 0);
    moe.shared_experts = moe.shared_intermediate > 0 ? 1 : 0;
    moe.shared_gate = moe.shared_experts > 0;
    moe.every = dimension(config, {"decoder_sparse_step"}, 1);
    moe.normalise_top_k = config.boolean("norm_topk_prob", false);
    const auto dense = config.texts("mlp_only_layers");
    if (!dense.empty())
      config.problem("mlp_only_layers", "dense layers at chosen places are not supported",
                     "an empty list, or decoder_sparse_step");
  } else if (type == "gpt_oss") {
    moe.expert_bias = moe.router_bias = true;
  } else if (type == "llama4" || type == "llama4_text") {
    moe.shared_experts = 1;
    moe.shared_intermediate = m.intermediate;
    moe.expert_intermediate = m.intermediate;
    moe.router = Router::sigmoid;
    moe.every = dimension(config, {"interleave_moe_layer_step"}, 1);
    m.intermediate = dimension(config, {"intermediate_size_mlp"}, m.intermediate);
  }
  moe.every = std::max<int64_t>(1, moe.every);
  m.moe = moe;
}

/// The Llama lineage: RMSNorm, rotary positions, gated MLP; what differs is named per type.
void read_llama_like(MapReader& config, const std::string& type, Model& m) {
  const bool gemma = type.rfind("gemma", 0) == 0;
  m.hidden = dimension(config, {"hidden_size"});
  m.layers = dimension(config, {"num_hidden_layers"});
  m.heads = dimension(config, {"num_attention_heads"});
  m.kv_heads = dimension(config, {"num_key_value_heads"}, m.heads);
  m.head_dim = dimension(config, {"head_dim"}, m.hidden / m.heads);
  m.intermediate = dimension(config, {"intermediate_size"});
  m.vocabulary = dimension(config, {"vocab_size"});
  m.max_positions = dimension(config, {"max_position_embeddings"}, 0);
  m.tied_embeddings = config.boolean("tie_word_embeddings", gemma);
  m.norm_epsilon = config.positive("rms_norm_eps", 1e-6);
  const bool plain = type == "nemotron" || type == "starcoder2";
  const std::string act = config.has("hidden_activation") && !config.is_null("hidden_activation")
                              ? "hidden_activation"
                              : "hidden_act";
  m.activation =
      activation_from(config, act, !plain, gemma || plain ? "gelu_pytorch_tanh" : "silu");
  if (plain) {
    m.norm = NormType::layer;
    m.norm_bias = true;
    m.norm_epsilon = config.positive("norm_epsilon", config.positive("norm_eps", 1e-5));
  }
  const bool bias =
      config.boolean("attention_bias", config.boolean("use_bias", config.boolean("bias", false)));
  m.attention_bias = bias || type == "qwen2" || type == "qwen2_moe";
  m.attention_output_bias = bias && !is_deepseek(type) && type != "glm4_moe";
  m.mlp_bias = config.boolean("mlp_bias", type == "starcoder2" && bias);
  m.qk_norm = type == "qwen3" || type == "qwen3_moe" || type == "gemma3_text" ||
              config.boolean("use_qk_norm", false);
  m.attention_sinks = type == "gpt_oss";
  if (type == "gpt_oss") m.activation_limit = config.positive("swiglu_limit", 7);
  if (type == "gemma2" || type == "gemma3_text") m.norms_per_layer = 4;
  read_rope(config, m);
  if (type == "gpt_oss" && !config.has("layer_types")) m.full_attention_every = 2;
  if (type == "gemma2") m.full_attention_every = 2;
  if (type == "gemma3_text")
    m.full_attention_every = dimension(config, {"sliding_window_pattern"}, 6);
  read_window(config, m);
  if (type == "llama4" || type == "llama4_text") {
    m.window = dimension(config, {"attention_chunk_size"}, 0);
    m.full_attention_every = 4;
  }
  if (is_deepseek(type)) read_mla(config, m);
  m.mtp_layers = dimension(config, {"num_nextn_predict_layers"}, 0);
  static const std::vector<std::string> sparse = {
      "mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "kimi_k2",
      "gpt_oss", "llama4",    "glm4_moe",  "llama4_text", "grok-1"};
  if (std::find(sparse.begin(), sparse.end(), type) != sparse.end()) read_moe(config, type, m);
  if (type == "grok-1") {
    m.norms_per_layer = 4;
    m.activation = ActivationType::geglu;
  }
}

/// The GPT-2 lineage: LayerNorm, plain GELU MLP, multi-head attention; keys by their own names.
void read_gpt_like(MapReader& config, const std::string& type, Model& m) {
  m.norm = NormType::layer;
  m.hidden = dimension(config, {"n_embd", "hidden_size", "d_model"});
  m.layers = dimension(config, {"n_layer", "num_hidden_layers", "n_layers"});
  m.heads = dimension(config, {"n_head", "num_attention_heads", "n_heads"});
  m.kv_heads = dimension(config, {"num_key_value_heads"}, m.heads);
  m.head_dim = dimension(config, {"head_dim"}, m.hidden / m.heads);
  m.intermediate = dimension(config, {"n_inner", "intermediate_size", "ffn_dim"}, 4 * m.hidden);
  m.vocabulary = dimension(config, {"vocab_size"});
  m.max_positions = dimension(
      config, {"n_positions", "max_position_embeddings", "max_seq_len", "seq_length"}, 2048);
  m.norm_epsilon = config.positive("layer_norm_epsilon", config.positive("layer_norm_eps", 1e-5));
  m.tied_embeddings = config.boolean("tie_word_embeddings", type != "gpt_neox");
  const std::string act = config.has("activation_function") ? "activation_function" : "hidden_act";
  m.activation = activation_from(config, act, false, type == "opt" ? "relu" : "gelu");
  bool bias = true;
  m.norm_bias = true;
  if (type == "gpt2" || type == "gpt_bigcode" || type == "opt") {
    m.positions = Positions::learned;
    m.position_rows = m.max_positions + (type == "opt" ? 2 : 0);  // OPT's table starts at row 2
  }
  if (type == "gpt_bigcode" && config.boolean("multi_query", true)) m.kv_heads = 1;
  if (type == "opt") {
    bias = config.boolean("enable_bias", true);
    if (dimension(config, {"word_embed_proj_dim"}, m.hidden) != m.hidden)
      config.problem("word_embed_proj_dim", "projected embeddings are not supported",
                     "hidden_size, that is " + std::to_string(m.hidden));
  }
  if (type == "gpt_neox") {
    bias = config.boolean("attention_bias", true);
    m.parallel_residual = config.boolean("use_parallel_residual", true);
    m.rope_theta = config.positive("rotary_emb_base", m.rope_theta);
    m.rotary_fraction = config.positive("rotary_pct", 0.25);
    read_rope(config, m);
  }
  if (type == "bloom") {
    m.positions = Positions::alibi;
    m.embedding_norm = true;
  }
  if (type == "mpt") {
    m.positions = config.boolean("learned_pos_emb", true) ? Positions::learned : Positions::none;
    if (config.has("attn_config") && config.map("attn_config").boolean("alibi", false))
      m.positions = Positions::alibi;
    m.position_rows = m.positions == Positions::learned ? m.max_positions : 0;
    m.intermediate = dimension(config, {"expansion_ratio"}, 4) * m.hidden;
    bias = !config.boolean("no_bias", true);
    m.norm_bias = bias;
  }
  if (type == "falcon") {
    const bool next = config.boolean("new_decoder_architecture", false);
    bias = config.boolean("bias", false);
    m.kv_heads = next ? dimension(config, {"num_kv_heads"}, m.heads)
                      : (config.boolean("multi_query", true) ? 1 : m.heads);
    m.positions = config.boolean("alibi", false) ? Positions::alibi : Positions::rope;
    m.parallel_residual = config.boolean("parallel_attn", true) || next;
    m.norms_per_layer = m.parallel_residual && !next ? 1 : 2;
    read_rope(config, m);
  }
  m.attention_bias = m.attention_output_bias = m.mlp_bias = bias;
}

const std::vector<std::string> kLlamaLike = {
    "llama",    "mistral", "mixtral",  "qwen2",       "qwen3",       "qwen2_moe",   "qwen3_moe",
    "gemma",    "gemma2",  "phi3",     "gemma3_text", "deepseek_v2", "deepseek_v3", "kimi_k2",
    "glm4_moe", "gpt_oss", "nemotron", "starcoder2",  "llama4_text", "grok-1"};
const std::vector<std::string> kGptLike = {"gpt2", "gpt_neox", "opt",        "bloom",
                                           "mpt",  "falcon",   "gpt_bigcode"};

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

void check(MapReader& config, const Model& m) {
  if (m.heads % std::max<int64_t>(1, m.kv_heads) != 0)
    config.problem("num_key_value_heads", "must divide the number of attention heads",
                   "a divisor of " + std::to_string(m.heads));
  if (m.head_dim < 1) config.problem("head_dim", "must be at least 1");
  if (m.rotary_fraction > 1) config.problem("partial_rotary_factor", "must be at most 1");
}

}  // namespace

int64_t hf_dimension(MapReader& config, const std::string& key) { return dimension(config, {key}); }
int64_t hf_dimension(MapReader& config, const std::string& key, int64_t fallback) {
  return dimension(config, {key}, fallback);
}

Model model_from_hf(MapReader& outer) {
  // Files of vision-language models nest the text model.
  if (outer.has("text_config")) {
    MapReader inner = outer.map("text_config");
    for (const auto& key : outer.keys()) outer.ignore(key);
    return model_from_hf(inner);
  }
  Model m;
  std::vector<std::string> known = kLlamaLike;
  known.insert(known.end(), kGptLike.begin(), kGptLike.end());
  known.emplace_back("nemotron_h");
  if (!outer.has("model_type"))
    outer.problem("model_type", "key 'model_type' is missing", suggest("model_type", outer.keys()));
  const std::string type = outer.has("model_type") ? outer.choice("model_type", known) : "llama";
  if (contains(kGptLike, type))
    read_gpt_like(outer, type, m);
  else if (type == "nemotron_h")
    m = hybrid_from_hf(outer);
  else
    read_llama_like(outer, type, m);
  check(outer, m);
  for (const auto& key : outer.keys()) outer.ignore(key);
  return m;
}

}  // namespace meshplan
