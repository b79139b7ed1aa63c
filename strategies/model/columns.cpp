// SPDX-License-Identifier: Apache-2.0
#include "strategies/model/columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>

namespace meshplan {
namespace {

/// Parameters from the first "<number>B" or "<number>M" in a name: "GPT 33B class" -> 33e9.
std::optional<double> size_in(const std::string& name) {
  const auto at = [&](size_t i) { return i < name.size() ? name[i] : ' '; };
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  for (size_t i = 0; i < name.size() && name[i] != '('; ++i) {
    if (!digit(name[i]) || (i > 0 && (digit(name[i - 1]) || name[i - 1] == '.'))) continue;
    size_t end = i;
    while (digit(at(end)) || (at(end) == '.' && digit(at(end + 1)))) ++end;
    const char unit = static_cast<char>(std::tolower(static_cast<unsigned char>(at(end))));
    if ((unit != 'b' && unit != 'm') || std::isalnum(static_cast<unsigned char>(at(end + 1))) != 0)
      continue;
    return std::atof(name.c_str() + i) * (unit == 'b' ? 1e9 : 1e6);
  }
  return std::nullopt;
}

Diagnostic unclear(const std::string& name, const std::string& message, const std::string& hint) {
  return {ErrorKind::input, message, "model columns", name, "", hint};
}

void assume(Model& m, const std::string& text) { m.assumptions.push_back(text); }

/// What the row states replaces what the bundled model says.
void override_with(const ModelColumns& c, Model& m) {
  const int64_t counted = m.sublayers > 0 ? m.sublayers : m.layers;
  if (c.layers && *c.layers != counted) {
    assume(m, fmt::format("cut to {} of {} layers", *c.layers, counted));
    m.layers = std::max<int64_t>(1, m.layers * *c.layers / counted);
    // A model that is cut in depth keeps its kinds of layers: the share of dense ones, rounded up.
    if (m.moe && *c.layers < counted)
      m.moe->first_dense_layers = (m.moe->first_dense_layers * *c.layers + counted - 1) / counted;
    if (m.moe && m.moe->first_dense_layers >= m.layers) m.moe->first_dense_layers = m.layers - 1;
  }
  m.vocabulary = c.vocabulary.value_or(m.vocabulary);
  if (m.sublayers == 0 && !m.mla) {
    const int64_t heads = c.heads.value_or(m.heads);
    if (heads != m.heads) {
      m.head_dim = m.hidden / heads;
      if (m.kv_heads == m.heads) m.kv_heads = heads;
      m.heads = heads;
    }
    m.kv_heads = c.kv_heads.value_or(m.kv_heads);
  }
  if (m.moe) {
    m.moe->experts = c.experts.value_or(m.moe->experts);
    m.moe->top_k = c.top_k.value_or(m.moe->top_k);
  } else {
    m.intermediate = c.ffn.value_or(m.intermediate);
  }
  if (m.positions == Positions::learned && c.sequence)
    m.position_rows = std::max(m.position_rows, *c.sequence);
}

bool is_bundled_shape(const ModelColumns& c, const Model& m) {
  return (!c.hidden || *c.hidden == m.hidden) && (!c.gated || *c.gated == is_gated(m.activation)) &&
         (m.moe.has_value() || c.experts.value_or(0) == 0);
}

/// Bundled model of the name without its last words: "Llama 4 Scout 2-layer slice".
std::optional<Model> bundled_by_beginning(const ModelColumns& c) {
  std::string name = c.name;
  for (size_t end = name.find_last_of(" -"); end != std::string::npos && end > 0;
       end = name.find_last_of(" -")) {
    name.resize(end);
    std::optional<Model> found = bundled_by_loose_name(name);
    if (!found) continue;
    const int64_t experts = found->moe ? found->moe->experts : 0;
    if (c.hidden && is_bundled_shape(c, *found) && c.experts.value_or(experts) == experts)
      return found;
  }
  return std::nullopt;
}

/// GPT proportions of SC'21 table 1: about 160 hidden units per layer, 12 L h^2 weights.
void gpt_of_size(double size, Model& m) {
  const double step = size < 1e10 ? 256 : 1024;
  m.hidden =
      static_cast<int64_t>(step * std::max(1.0, std::round(std::cbrt(size * 160 / 12) / step)));
}

int64_t layers_of_size(double size, const Model& m) {
  const double h = static_cast<double>(m.hidden);
  const double rest = size - static_cast<double>(m.vocabulary) * h;
  return std::max<int64_t>(1, std::llround(rest / (12 * h * h)));
}

/// Heads of about 128; a multiple of 8, so that tensor parallelism can cut them, where that divides
/// the hidden size.
int64_t usual_heads(int64_t hidden) {
  for (int64_t heads = hidden / 128 / 8 * 8; heads >= 8; heads -= 8)
    if (hidden % heads == 0) return heads;
  return std::max<int64_t>(1, hidden / 128);
}

/// Norm, biases, activation and positions of another model of the kind.
void switches_of(const Model& kind, const ModelColumns& c, Model& m) {
  m.norm = kind.norm;
  m.norm_bias = kind.norm_bias;
  m.attention_bias = kind.attention_bias;
  m.attention_output_bias = kind.attention_output_bias;
  m.mlp_bias = kind.mlp_bias;
  m.activation = kind.activation;
  m.positions = kind.positions;
  m.rotary_fraction = kind.rotary_fraction;
  m.tied_embeddings = kind.tied_embeddings;
  m.qk_norm = kind.qk_norm;
  m.parallel_residual = kind.parallel_residual;
  m.norms_per_layer = kind.norms_per_layer;
  m.embedding_norm = kind.embedding_norm;
  if (m.positions == Positions::learned) m.position_rows = c.sequence.value_or(2048);
  assume(m, fmt::format("norm, biases, activation and positions as in {}", kind.id));
}

Result<Model> from_columns_alone(const ModelColumns& c) {
  const bool gated = c.gated.value_or(c.name.rfind("GPT", 0) != 0);
  const std::optional<double> size = size_in(c.name);
  Model m;
  if (!c.hidden && !c.layers && gated && size) {
    m = llama_of_size(*size);
    m.vocabulary = c.vocabulary.value_or(m.vocabulary);
    return m;
  }
  if (c.hidden) m.hidden = *c.hidden;
  m.vocabulary = c.vocabulary.value_or(c.usual_vocabulary.value_or(gated ? 32000 : 51200));
  if (!c.vocabulary) assume(m, fmt::format("vocabulary {}: not stated", m.vocabulary));
  if (!c.hidden) {
    if (!size)
      return unclear(c.name, "neither the hidden size nor a number of parameters is stated",
                     "fill layers and hidden, or a size in the name");
    gpt_of_size(*size, m);
    assume(m, fmt::format("hidden {}: proportions of the SC'21 models", m.hidden));
  }
  if (c.layers) {
    m.layers = *c.layers;
  } else if (size) {
    m.layers = layers_of_size(*size, m);
    assume(m, fmt::format("{} layers: what {:.4g}B parameters leave", m.layers, *size / 1e9));
  } else {
    return unclear(c.name, "the number of layers is not stated", "fill layers");
  }
  m.heads = c.heads.value_or(usual_heads(m.hidden));
  if (!c.heads) assume(m, fmt::format("{} heads of {}: not stated", m.heads, m.hidden / m.heads));
  m.kv_heads = c.kv_heads.value_or(m.heads);
  m.head_dim = m.hidden / m.heads;
  m.intermediate = c.ffn.value_or(gated ? (m.hidden * 8 / 3 + 255) / 256 * 256 : 4 * m.hidden);
  if (!c.ffn) assume(m, fmt::format("MLP width {}: not stated", m.intermediate));
  if (const auto kind = c.like.empty() ? std::nullopt : bundled_by_loose_name(c.like)) {
    switches_of(*kind, c, m);
  } else if (!gated) {
    m.norm = NormType::layer;
    m.norm_bias = m.attention_bias = m.attention_output_bias = m.mlp_bias = true;
    m.activation = ActivationType::gelu;
    m.positions = Positions::learned;
    m.position_rows = c.sequence.value_or(2048);
    m.tied_embeddings = true;
    assume(m, "GPT-2 kind: LayerNorm, biases, learned positions, tied head");
  } else {
    assume(m, "Llama kind: RMSNorm, rotary positions, no biases, untied head");
  }
  if (c.experts.value_or(0) > 0) {
    Moe moe;
    moe.experts = *c.experts;
    moe.top_k = c.top_k.value_or(1);
    moe.expert_intermediate = m.intermediate;
    m.moe = moe;
  }
  return m;
}

}  // namespace

Result<Model> model_from_columns(const ModelColumns& c) {
  for (const auto& value : {c.layers, c.hidden, c.heads, c.kv_heads, c.vocabulary, c.ffn})
    if (value && (*value < 1 || *value > int64_t{1} << 26))
      return unclear(c.name, fmt::format("{} is no size of a model", *value), "a positive number");
  std::optional<Model> bundled = bundled_by_loose_name(c.name);
  if (!bundled) bundled = bundled_by_beginning(c);
  if (bundled && is_bundled_shape(c, *bundled)) {
    override_with(c, *bundled);
  } else {
    MESHPLAN_TRY(bundled, from_columns_alone(c));
  }
  Model m = std::move(*bundled);
  if (m.id.empty()) m.id = c.name;
  m.name = c.name.empty() ? m.name : c.name;
  if (m.heads % m.kv_heads != 0)
    return unclear(c.name, fmt::format("{} kv heads do not divide {} heads", m.kv_heads, m.heads),
                   "check the columns");
  if (m.moe && m.moe->top_k > m.moe->experts)
    return unclear(c.name, "a token visits more experts than there are", "check top_k");
  return m;
}

}  // namespace meshplan
