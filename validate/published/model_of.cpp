// SPDX-License-Identifier: Apache-2.0
#include "validate/published/model_of.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace meshplan {

/// 0 where the row is silent.
struct ModelMapper::Columns {
  int64_t layers, hidden, ffn, heads, kv_heads, vocabulary, experts, top_k, tp;
  std::string gated;
};

namespace {

bool agrees(int64_t stated, int64_t own) { return stated == 0 || stated == own; }

/// Sizes of a deeper or shallower cut of the same model; false where a column contradicts it.
bool same_shape(const Model& model, int64_t hidden, int64_t ffn, int64_t heads, int64_t kv_heads,
                int64_t experts, int64_t top_k, const std::string& gated) {
  const bool moe = model.moe.has_value();
  if ((experts > 1) != moe) return false;
  if (moe && (!agrees(experts, model.moe->experts) || !agrees(top_k, model.moe->top_k)))
    return false;
  // The column holds the width of an expert, or of the dense layers of the same model.
  if (!agrees(ffn, model.intermediate) && !(moe && ffn == model.moe->expert_intermediate))
    return false;
  if (!agrees(hidden, model.hidden) || !agrees(heads, model.heads)) return false;
  if (!model.mla && !agrees(kv_heads, model.kv_heads)) return false;
  return gated.empty() || (gated == "1") == is_gated(model.activation);
}

/// Heads of a width near 128 that divide the hidden size and can be cut by tp.
int64_t likely_heads(int64_t hidden, int64_t tp) {
  for (int64_t heads = std::max<int64_t>(1, hidden / 128); heads > 1; --heads) {
    if (hidden % heads == 0 && heads % tp == 0) return heads;
  }
  return 1;
}

void apply(const Hybrid& hybrid, Model& model, std::vector<std::string>& chosen) {
  model.id = hybrid.starts;
  model.head_dim = hybrid.head_dim;
  model.window = hybrid.window;
  model.full_attention_every = hybrid.full_attention_every;
  if (model.moe && hybrid.shared_intermediate > 0) {
    model.moe->shared_experts = 1;
    model.moe->shared_intermediate = hybrid.shared_intermediate;
  }
  chosen.push_back(fmt::format(
      "hybrid model: {} layers with an MLP; mixers without attention are priced as attention over "
      "{} tokens with projections of the same size",
      hybrid.layers, hybrid.window));
}

void cut_to(Model& model, int64_t layers) {
  if (layers == 0 || layers == model.layers) return;
  model.layers = layers;
  // A slice keeps the model's dense layers, but at least one mixture.
  if (model.moe)
    model.moe->first_dense_layers = std::min(model.moe->first_dense_layers, layers - 1);
}

}  // namespace

Status ModelMapper::load() {
  if (!bundled_.empty()) return Done{};
  for (const std::string& name : model_names()) {
    MESHPLAN_TRY(Model model, find_model(name));
    bundled_.push_back(std::move(model));
  }
  return Done{};
}

const Model* ModelMapper::by_name(const std::string& plain) const {
  for (const Model& model : bundled_) {
    if (plain_name(model.id) == plain || plain_name(model.name) == plain) return &model;
  }
  return nullptr;
}

/// The bundled model whose name is the row's, or its longest beginning, among those that agree.
const Model* ModelMapper::agreeing(const std::string& plain, const Columns& c) const {
  const Model* best = nullptr;
  size_t best_length = 0;
  for (const Model& model : bundled_) {
    if (!same_shape(model, c.hidden, c.ffn, c.heads, c.kv_heads, c.experts, c.top_k, c.gated))
      continue;
    for (const std::string& name : {plain_name(model.id), plain_name(model.name)}) {
      const bool begins = !name.empty() && plain.rfind(name, 0) == 0;
      // "llama370b" also names a cut of "Llama3.1-70B" and the other way round.
      if (begins && name.size() > best_length) {
        best = &model;
        best_length = name.size();
      }
    }
  }
  return best;
}

Result<Model> ModelMapper::of(QuestionRow& row, int64_t sequence,
                              std::vector<std::string>& chosen) {
  MESHPLAN_CHECK(load());
  Columns c{};
  c.layers = row.count("layers").value_or(0);
  c.hidden = row.count("hidden").value_or(0);
  c.ffn = row.count("ffn").value_or(0);
  c.heads = row.count("heads").value_or(0);
  c.kv_heads = row.count("kv_heads").value_or(0);
  c.vocabulary = row.count("vocab").value_or(0);
  c.experts = row.count("experts").value_or(0);
  c.top_k = row.count("top_k").value_or(0);
  c.tp = row.count("tp").value_or(1);
  c.gated = row.text("gated_mlp");
  MESHPLAN_CHECK(row.finish());
  const std::string name = row.text("model");
  const std::string plain = plain_name(name);

  Model model;
  if (const Model* found = agreeing(plain, c); found != nullptr && c.hidden > 0) {
    model = *found;
    cut_to(model, c.layers);
  } else if (c.hidden > 0 && c.layers > 0 && (c.ffn > 0 || c.heads > 0)) {
    const Hybrid* hybrid = mapping_.hybrid(name);
    if (hybrid != nullptr && hybrid->stated_layers == c.layers) {
      c.layers = hybrid->layers;
      c.heads = c.kv_heads = hybrid->heads;
    } else {
      hybrid = nullptr;
    }
    MESHPLAN_TRY(model, from_columns(name, c, chosen));
    if (hybrid != nullptr) apply(*hybrid, model, chosen);
  } else if (const Model* named = by_name(plain)) {
    model = *named;
    cut_to(model, c.layers);
    chosen.push_back(
        fmt::format("sizes of the model: not stated; bundled {} by its name", model.id));
  } else {
    return Diagnostic{ErrorKind::input,
                      "the row does not state the sizes of the model",
                      row.where(c.hidden == 0   ? "hidden"
                                : c.layers == 0 ? "layers"
                                                : "ffn"),
                      name,
                      kStatesTooLittle,
                      "layers, hidden and ffn or heads, or the name of a bundled model"};
  }
  if (c.vocabulary > 0) model.vocabulary = c.vocabulary;
  if (c.vocabulary == 0)
    chosen.push_back(fmt::format("vocab: not stated; {} of {}", model.vocabulary, model.id));
  if (!name.empty()) model.name = name;
  model.max_positions = std::max(model.max_positions, sequence);
  if (model.positions == Positions::learned)
    model.position_rows = std::max(model.position_rows, sequence);
  return model;
}

Result<Model> ModelMapper::from_columns(const std::string& name, const Columns& c,
                                        std::vector<std::string>& chosen) const {
  const bool moe = c.experts > 1;
  // Without a word on the MLP: a fourfold width is the plain one, as in GPT.
  const bool gated = c.gated.empty() ? c.ffn != 4 * c.hidden : c.gated == "1";
  const std::string like = mapping_.like(name, gated, moe);
  const auto base = std::find_if(bundled_.begin(), bundled_.end(),
                                 [&](const Model& model) { return model.id == like; });
  if (base == bundled_.end())
    return Diagnostic{ErrorKind::internal, "mapping.yaml names a model that is not bundled", "",
                      like};
  Model model = *base;
  model.id = like + "-shaped";
  model.source = "columns of the table";
  model.assumptions = {fmt::format("switches (norm, biases, positions) as in {}", like)};
  model.layers = c.layers;
  model.hidden = c.hidden;
  model.heads = c.heads;
  if (c.heads == 0) {
    model.heads = likely_heads(c.hidden, c.tp);
    chosen.push_back(
        fmt::format("heads: not stated; {} of width {}", model.heads, c.hidden / model.heads));
  }
  model.kv_heads = c.kv_heads > 0 ? c.kv_heads : model.heads;
  if (c.kv_heads == 0 && c.heads > 0) chosen.push_back("kv_heads: not stated; as many as heads");
  // The bundled width of a head holds only where nothing but the depth differs.
  if (base->hidden != c.hidden || base->heads != model.heads)
    model.head_dim = std::max<int64_t>(1, c.hidden / model.heads);
  int64_t width = c.ffn;
  if (width == 0) {
    width = gated ? (c.hidden * 8 / 3 + 255) / 256 * 256 : 4 * c.hidden;
    chosen.push_back(fmt::format("ffn: not stated; {}", width));
  }
  model.intermediate = width;
  if (moe) {
    if (!model.moe) model.moe.emplace();
    model.moe->experts = c.experts;
    model.moe->top_k = c.top_k > 0 ? c.top_k : 1;
    if (c.top_k == 0) chosen.push_back("top_k: not stated; 1");
    // Shared experts scale with the width of one expert.
    if (model.moe->shared_intermediate > 0)
      model.moe->shared_intermediate = std::max<int64_t>(1, model.moe->shared_experts) * width;
    model.moe->expert_intermediate = width;
    model.moe->first_dense_layers = std::min(model.moe->first_dense_layers, c.layers - 1);
  } else {
    model.moe.reset();
  }
  if (is_gated(model.activation) != gated)
    model.activation = gated ? ActivationType::swiglu : ActivationType::gelu;
  if (gated && !moe) model.mlp_bias = false;
  if (model.mla && base->hidden != c.hidden) model.mla.reset();
  if (model.mla == std::nullopt && base->mla && c.kv_heads == 0) model.kv_heads = model.heads;
  model.mtp_layers = 0;
  return model;
}

}  // namespace meshplan
