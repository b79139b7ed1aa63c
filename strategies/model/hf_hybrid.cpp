// SPDX-License-Identifier: Apache-2.0
// Hybrids whose layers are single sublayers: Mamba-2 (M), attention (*), MLP (-) or experts (E).
//
// The step program knows transformer layers only. A hybrid is read as one layer per MLP sublayer,
// with an attention part that has the weights of the mixers that fall on it. A Mamba-2 sublayer
// works in chunks, quadratic within one and linear between them. Its kernels are far from the rates
// of attention's: with a state of 64 they take as long as FlashAttention-2 on sequences of about
// 2,048 (Dao and Gu 2024, section 9.3 and figure 10), where a token sees 1,024 others on average,
// and in proportion to the state. So its core is described as attention with such a window, and
// priced by KernelTables::scan. The shape is an approximation and says so in Model::assumptions.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "strategies/model/hf_config.hpp"

namespace meshplan {
namespace {

constexpr int64_t kEqualWindow = 1024;  ///< for each 64 of the state

struct Pattern {
  int64_t mamba = 0, attention = 0, mlp = 0, experts = 0;
  int64_t all() const { return mamba + attention + mlp + experts; }
};

Pattern pattern_of(MapReader& config) {
  Pattern p;
  for (const std::string& word : config.texts("layers_block_type")) {
    p.mamba += word == "mamba" ? 1 : 0;
    p.attention += word == "attention" ? 1 : 0;
    p.mlp += word == "mlp" ? 1 : 0;
    p.experts += word == "moe" ? 1 : 0;
  }
  if (p.all() == 0) {
    const std::string text = config.text("hybrid_override_pattern");
    p.mamba = std::count(text.begin(), text.end(), 'M');
    p.attention = std::count(text.begin(), text.end(), '*');
    p.mlp = std::count(text.begin(), text.end(), '-');
    p.experts = std::count(text.begin(), text.end(), 'E');
  }
  if (p.mlp + p.experts == 0 || p.mamba + p.attention == 0)
    config.problem("hybrid_override_pattern", "needs mixers (M, *) and MLPs (-, E)");
  return p;
}

}  // namespace

Model hybrid_from_hf(MapReader& config) {
  Model m;
  const Pattern pattern = pattern_of(config);
  m.hidden = hf_dimension(config, "hidden_size");
  m.vocabulary = hf_dimension(config, "vocab_size");
  m.heads = hf_dimension(config, "num_attention_heads");
  m.max_positions = hf_dimension(config, "max_position_embeddings", 0);
  m.intermediate = hf_dimension(config, "intermediate_size");
  m.tied_embeddings = config.boolean("tie_word_embeddings", false);
  m.activation = ActivationType::squared_relu;
  m.positions = Positions::none;
  m.sublayers = pattern.all();
  m.layers = std::max<int64_t>(1, pattern.mlp + pattern.experts);

  const int64_t kv_heads = hf_dimension(config, "num_key_value_heads", m.heads);
  const int64_t head_dim = hf_dimension(config, "head_dim", m.hidden / m.heads);
  const int64_t inner =
      hf_dimension(config, "mamba_num_heads") * hf_dimension(config, "mamba_head_dim");
  // In: gate, x, B and C per group, step per head. Out: one product.
  const int64_t mamba =
      m.hidden *
      (3 * inner + 2 * hf_dimension(config, "n_groups") * hf_dimension(config, "ssm_state_size") +
       hf_dimension(config, "mamba_num_heads"));
  const int64_t attention = 2 * m.hidden * (m.heads + kv_heads) * head_dim;
  const double mixers = static_cast<double>(pattern.mamba * mamba + pattern.attention * attention);
  const double per_head = mixers / static_cast<double>(m.layers * 4 * m.hidden * m.heads);
  m.kv_heads = m.heads;
  m.head_dim = std::max<int64_t>(8, 8 * std::llround(per_head / 8));
  config.number("chunk_size", 0);
  m.window = kEqualWindow * std::max<int64_t>(1, hf_dimension(config, "ssm_state_size") / 64);
  if (pattern.attention > 0)
    m.full_attention_every = std::max<int64_t>(1, m.layers / pattern.attention);
  // Layers with attention proper have no scan: the others take all of them.
  const int64_t full = m.full_attention_every > 0 ? m.layers / m.full_attention_every : 0;
  if (m.layers > full) m.window = m.window * pattern.mamba / (m.layers - full);

  if (pattern.experts > 0) {
    Moe moe;
    moe.experts = hf_dimension(config, "n_routed_experts");
    moe.top_k = std::min(hf_dimension(config, "num_experts_per_tok"), moe.experts);
    moe.expert_intermediate = hf_dimension(config, "moe_intermediate_size");
    moe.shared_experts = hf_dimension(config, "n_shared_experts", 0);
    moe.shared_intermediate =
        moe.shared_experts * hf_dimension(config, "moe_shared_expert_intermediate_size", 0);
    moe.router = Router::sigmoid;
    moe.router_bias = true;
    moe.latent = hf_dimension(config, "moe_latent_size", 0);
    m.moe = moe;
  }
  m.assumptions.push_back(fmt::format(
      "hybrid of {} Mamba-2, {} attention and {} MLP sublayers: taken as {} transformer layers of "
      "equal weights, windowed attention in place of Mamba-2",
      pattern.mamba, pattern.attention, pattern.mlp + pattern.experts, m.layers));
  return m;
}

}  // namespace meshplan
