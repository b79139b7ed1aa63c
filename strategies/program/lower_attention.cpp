// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "strategies/program/lower.hpp"

namespace meshplan {
namespace {

/// q, k, v from projections `from` (gradients go back to them in the same order).
struct Heads {
  BufferId q, k, v;
};

Heads split_heads(BlockBuilder& builder, const std::vector<BufferId>& from, int64_t heads,
                  int64_t kv_heads, bool rotate) {
  const Model& model = builder.context().model;
  const int64_t tokens = builder.context().tokens();
  const Trainer& trainer = builder.context().trainer;
  const bool scaled = model.rope_scaling == RopeScaling::yarn && !model.mla;
  const bool fused = trainer.fused_rope && (!scaled || trainer.fused_rope_scaled);
  const Heads out{builder.value("q", tokens, heads * model.head_dim),
                  builder.value("k", tokens, kv_heads * model.head_dim),
                  builder.value("v", tokens, kv_heads * value_head_dim(model))};
  const Rope op{Pass::forward, tokens, heads, kv_heads, model.head_dim, rotate, fused};
  std::vector<BufferId> results{out.q, out.k, out.v};
  if (trainer.qkv_product_kept && heads == kv_heads && from.size() == 1) {
    // One of the three stands for its part of the tensor that it is a view of, this for the rest.
    results.push_back(
        builder.value("rest of qkv", tokens, kv_heads * (model.head_dim + value_head_dim(model))));
  }
  builder.forward(op, Module::rope, from, results);
  builder.on_backward(Module::rope, [&builder, from, out, op] {
    Rope back = op;
    back.pass = Pass::backward;
    std::vector<BufferId> gradients;
    for (const BufferId id : from) {
      const Buffer& buffer = builder.at(id);
      gradients.push_back(
          builder.value("d." + buffer.name, buffer.rows, buffer.cols, buffer.dtype));
    }
    builder.backward(
        back, Module::rope,
        {builder.gradient_of(out.q), builder.gradient_of(out.k), builder.gradient_of(out.v)},
        gradients);
    for (size_t i = 0; i < from.size(); ++i) builder.give(from[i], gradients[i], Module::rope);
  });
  if (results.size() > 3) builder.hold(results.back());
  return out;
}

BufferId project_out(BlockBuilder& builder, BufferId o) {
  const LowerContext& context = builder.context();
  const Model& model = context.model;
  if (context.trainer.attention_output_copied && context.plan.micro_batch > 1)
    o = builder.copy("attention by tokens", Module::core_attention, o);
  const Weight w = builder.parameter("o.weight", {{"self_attn.o_proj.weight", model.hidden}},
                                     model.heads * value_head_dim(model), 1, true);
  BufferId y = builder.row("attention output", Module::attention_out, o, w);
  if (builder.context().trainer.adapter_on_projection) builder.adapter(Module::attention_out, o, y);
  if (model.attention_output_bias) {
    const Weight b =
        builder.parameter("o.bias", {{"self_attn.o_proj.bias", 1}}, model.hidden, -1, false);
    y = builder.bias(Module::attention_out, y, b, context.trainer.fused_bias_dropout_add);
  }
  return y;
}

}  // namespace

BufferId lower_attention(BlockBuilder& builder, BufferId x, int64_t window) {
  const LowerContext& context = builder.context();
  const Model& model = context.model;
  const int64_t d = model.head_dim;
  const int64_t dv = value_head_dim(model);
  const int64_t heads = model.heads / context.plan.tp;
  const int64_t kv_heads = std::max<int64_t>(1, model.kv_heads / context.plan.tp);
  const int64_t kv_whole = kv_heads * context.plan.tp;  // fewer heads than ranks: copies
  const Weight w = builder.parameter("qkv.weight",
                                     {{"self_attn.q_proj.weight", model.heads * d},
                                      {"self_attn.k_proj.weight", kv_whole * d},
                                      {"self_attn.v_proj.weight", kv_whole * dv}},
                                     model.hidden, 0, true);
  Weight b{-1, -1, 0, 0};
  if (model.attention_bias) {
    b = builder.parameter("qkv.bias",
                          {{"self_attn.q_proj.bias", model.heads * d},
                           {"self_attn.k_proj.bias", kv_whole * d},
                           {"self_attn.v_proj.bias", kv_whole * dv}},
                          1, 0, false);
  }
  const BufferId qkv = builder.column("qkv", Module::qkv, x, w, b.weight, b.gradient);
  builder.adapter(Module::qkv, x, qkv);
  const bool rotate = model.positions == Positions::rope;
  Heads split = split_heads(builder, {qkv}, heads, kv_heads, rotate);
  if (model.qk_norm) {
    split.q = builder.norm("q norm", "self_attn.q_norm", Module::rope, split.q, d, true);
    split.k = builder.norm("k norm", "self_attn.k_norm", Module::rope, split.k, d, true);
  }
  const BufferId o =
      lower_core_attention(builder, split.q, split.k, split.v, heads, kv_heads, window);
  return project_out(builder, o);
}

BufferId lower_mla(BlockBuilder& builder, BufferId x) {
  const LowerContext& context = builder.context();
  const Model& model = context.model;
  const Mla& mla = *model.mla;
  const int64_t heads = model.heads / context.plan.tp;
  BufferId q = x;
  int64_t q_in = model.hidden;
  std::string q_name = "self_attn.q_proj.weight";
  if (mla.q_lora_rank > 0) {
    const Weight down = builder.parameter(
        "q_a.weight", {{"self_attn.q_a_proj.weight", mla.q_lora_rank}}, model.hidden, -1, true);
    q = builder.local("q latent", Module::qkv, x, down);
    q = builder.norm("q latent norm", "self_attn.q_a_layernorm", Module::norm, q, mla.q_lora_rank);
    q_in = mla.q_lora_rank;
    q_name = "self_attn.q_b_proj.weight";
  }
  const Weight q_up =
      builder.parameter("q_b.weight", {{q_name, model.heads * model.head_dim}}, q_in, 0, true);
  q = builder.column("q projected", Module::qkv_up, q, q_up);

  const Weight kv_down =
      builder.parameter("kv_a.weight", {{"self_attn.kv_a_proj_with_mqa.weight", mla.kv_lora_rank}},
                        model.hidden, -1, true);
  const Weight rope_down = builder.parameter(
      "k_rope.weight", {{"self_attn.kv_a_proj_with_mqa.weight.rope", mla.qk_rope_head_dim}},
      model.hidden, -1, true);
  BufferId latent = builder.local("kv latent", Module::qkv, x, kv_down);
  BufferId k_rope = builder.local("k rope", Module::qkv, x, rope_down);
  if (context.sp()) {
    k_rope = builder.exchange("k rope gathered", Module::qkv, CollectiveOp::all_gather,
                              CollectiveOp::reduce_scatter, Group::tp, k_rope, context.tokens());
  }
  latent = builder.norm("kv latent norm", "self_attn.kv_a_layernorm", Module::norm, latent,
                        mla.kv_lora_rank);
  const Weight kv_up = builder.parameter(
      "kv_b.weight",
      {{"self_attn.kv_b_proj.weight", model.heads * (mla.qk_nope_head_dim + mla.v_head_dim)}},
      mla.kv_lora_rank, 0, true);
  const BufferId kv = builder.column("kv projected", Module::qkv_up, latent, kv_up);
  const Heads split = split_heads(builder, {q, kv, k_rope}, heads, heads, true);
  const BufferId o = lower_core_attention(builder, split.q, split.k, split.v, heads, heads, 0);
  return project_out(builder, o);
}

}  // namespace meshplan
