// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "strategies/model/model.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan {

bool is_gated(ActivationType activation) {
  return activation == ActivationType::swiglu || activation == ActivationType::geglu;
}

int64_t expert_hidden(const Model& m) {
  return m.moe && m.moe->latent > 0 ? m.moe->latent : m.hidden;
}

int64_t value_head_dim(const Model& m) { return m.mla ? m.mla->v_head_dim : m.head_dim; }

LayerKind kind_of(const Model& m, int64_t layer) {
  if (!m.moe || layer < m.moe->first_dense_layers) return LayerKind::dense;
  return (layer + 1) % std::max<int64_t>(1, m.moe->every) == 0 ? LayerKind::moe : LayerKind::dense;
}

int64_t layers_of(const Model& m, LayerKind kind) {
  int64_t count = 0;
  for (int64_t layer = 0; layer < m.layers; ++layer) count += kind_of(m, layer) == kind ? 1 : 0;
  return count;
}

int64_t window_of(const Model& m, int64_t layer) {
  const bool full = m.full_attention_every > 0 && (layer + 1) % m.full_attention_every == 0;
  return full ? 0 : m.window;
}

int64_t norm_parameters(const Model& m) { return m.norm_bias ? 2 * m.hidden : m.hidden; }

namespace {

/// Two or three products hidden x width, and their biases.
int64_t mlp_parameters(const Model& m, int64_t hidden, int64_t width, bool bias) {
  const int64_t in = is_gated(m.activation) ? 2 : 1;
  return (in + 1) * hidden * width + (bias ? in * width + hidden : 0);
}

int64_t one_expert(const Model& m) {
  return mlp_parameters(m, expert_hidden(m), m.moe->expert_intermediate, m.moe->expert_bias);
}

int64_t moe_parameters(const Model& m, int64_t experts) {
  const Moe& moe = *m.moe;
  int64_t total = m.hidden * moe.experts + (moe.router_bias ? moe.experts : 0);
  total += 2 * m.hidden * moe.latent + experts * one_expert(m);
  if (moe.shared_intermediate > 0)
    total += mlp_parameters(m, m.hidden, moe.shared_intermediate, m.mlp_bias);
  if (moe.shared_gate) total += m.hidden;
  return total;
}

int64_t layer_parameters(const Model& m, LayerKind kind, int64_t experts) {
  const int64_t mlp = kind == LayerKind::moe
                          ? moe_parameters(m, experts)
                          : mlp_parameters(m, m.hidden, m.intermediate, m.mlp_bias);
  return attention_parameters(m) + mlp + m.norms_per_layer * norm_parameters(m);
}

}  // namespace

int64_t attention_parameters(const Model& m) {
  const int64_t h = m.hidden, q = m.heads * m.head_dim;
  int64_t total = 0;
  if (m.mla) {
    const Mla& a = *m.mla;
    total += a.q_lora_rank > 0 ? h * a.q_lora_rank + a.q_lora_rank * q + a.q_lora_rank : h * q;
    total += h * (a.kv_lora_rank + a.qk_rope_head_dim) + a.kv_lora_rank;
    total += a.kv_lora_rank * m.heads * (a.qk_nope_head_dim + a.v_head_dim);
    total += m.heads * a.v_head_dim * h;
    if (m.attention_bias)
      total += a.q_lora_rank + a.kv_lora_rank + a.qk_rope_head_dim;  // on the down projections
  } else {
    const int64_t qkv = q + 2 * m.kv_heads * m.head_dim;
    total += h * qkv + q * h + (m.attention_bias ? qkv : 0);
  }
  if (m.attention_output_bias) total += h;
  if (m.qk_norm) total += 2 * m.head_dim * (m.norm_bias ? 2 : 1);
  if (m.attention_sinks) total += m.heads;
  return total;
}

int64_t expert_parameters_of_layer(const Model& m) {
  if (!m.moe) return 0;
  return m.moe->experts * one_expert(m);
}

int64_t parameters_of_layer(const Model& m, LayerKind kind) {
  return layer_parameters(m, kind, m.moe ? m.moe->experts : 0);
}

int64_t active_parameters_of_layer(const Model& m, LayerKind kind) {
  return layer_parameters(m, kind, m.moe ? m.moe->top_k : 0);
}

int64_t embedding_parameters(const Model& m) {
  const int64_t positions = m.positions == Positions::learned ? m.position_rows : 0;
  return (m.vocabulary + positions) * m.hidden + (m.embedding_norm ? norm_parameters(m) : 0);
}

int64_t head_parameters(const Model& m) {
  return norm_parameters(m) + (m.tied_embeddings ? 0 : m.vocabulary * m.hidden) +
         (m.lm_head_bias ? m.vocabulary : 0);
}

namespace {
int64_t total(const Model& m, int64_t (*of_layer)(const Model&, LayerKind)) {
  const int64_t moe_layers = layers_of(m, LayerKind::moe);
  int64_t sum = embedding_parameters(m) + head_parameters(m);
  if (moe_layers > 0) sum += moe_layers * of_layer(m, LayerKind::moe);
  if (moe_layers < m.layers) sum += (m.layers - moe_layers) * of_layer(m, LayerKind::dense);
  return sum;
}

/// Keys that a query sees on average in one layer.
double keys_seen(const Model& m, int64_t layer, double sequence, bool causal) {
  if (!causal) return sequence;
  const double window = static_cast<double>(window_of(m, layer));
  // First `window` queries see half of it on average, the others all of it.
  if (window > 0 && window < sequence) return window - window * window / (2 * sequence);
  return sequence / 2;
}

/// Forward FLOPs per token of scores and weighted values.
double attention_flops(const Model& m, int64_t sequence, bool causal) {
  const double per_key = 2.0 * static_cast<double>(m.heads * (m.head_dim + value_head_dim(m)));
  double flops = 0;
  for (int64_t layer = 0; layer < m.layers; ++layer)
    flops += per_key * keys_seen(m, layer, static_cast<double>(sequence), causal);
  return flops;
}
}  // namespace

int64_t parameters(const Model& m) { return total(m, parameters_of_layer); }
int64_t active_parameters(const Model& m) { return total(m, active_parameters_of_layer); }

double model_flops_per_token(const Model& m, int64_t sequence, FlopsConvention convention) {
  const double table = static_cast<double>(m.vocabulary * m.hidden);
  const double all = static_cast<double>(active_parameters(m)) + (m.tied_embeddings ? table : 0);
  const double products = all - static_cast<double>(embedding_parameters(m));
  switch (convention) {
    case FlopsConvention::causal:
      return 6 * products + 3 * attention_flops(m, sequence, true);
    case FlopsConvention::full_square:
      return 6 * products + 3 * attention_flops(m, sequence, false);
    case FlopsConvention::all_parameters:
      return 6 * all + 3 * attention_flops(m, sequence, false);
    case FlopsConvention::parameters_only:
      return 6 * products;
    case FlopsConvention::with_recompute:
      return 8 * (products - table) + 6 * table + 4 * attention_flops(m, sequence, false);
  }
  return 0;
}

namespace {
constexpr FlopsConvention kConventions[] = {
    FlopsConvention::causal, FlopsConvention::full_square, FlopsConvention::all_parameters,
    FlopsConvention::parameters_only, FlopsConvention::with_recompute};
}

const char* to_text(FlopsConvention convention) {
  switch (convention) {
    case FlopsConvention::causal:
      return "causal";
    case FlopsConvention::full_square:
      return "full-square";
    case FlopsConvention::all_parameters:
      return "all-parameters";
    case FlopsConvention::parameters_only:
      return "parameters-only";
    case FlopsConvention::with_recompute:
      return "with-recompute";
  }
  return "?";
}

Result<FlopsConvention> flops_convention_from(const std::string& text) {
  std::vector<std::string> names;
  for (const FlopsConvention convention : kConventions) {
    if (text == to_text(convention)) return convention;
    names.emplace_back(to_text(convention));
  }
  return Diagnostic{ErrorKind::usage,    "unknown FLOPs convention", "--flops-convention", text, {},
                    suggest(text, names)};
}

}  // namespace meshplan
