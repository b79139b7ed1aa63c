// SPDX-License-Identifier: Apache-2.0
// Which keys does a plan file have for a model, a plan and a batch? One list of fields each, walked
// by the writer and by the reader, so that the two cannot differ.
//
// A visitor has: field(key, value) for int64_t, int, bool, double, std::string and lists of these;
// choice(key, value, names) for enums; part(key, optional, function) for what may be absent.
#pragma once
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "strategies/plan/plan.hpp"

namespace meshplan::planfile {

using Names = std::vector<std::string>;  ///< of an enum's values, in order

template <class Visitor>
void visit(Visitor& v, Moe& m) {
  v.field("experts", m.experts);
  v.field("experts_per_token", m.top_k);
  v.field("expert_intermediate", m.expert_intermediate);
  v.field("latent", m.latent);
  v.field("shared_experts", m.shared_experts);
  v.field("shared_intermediate", m.shared_intermediate);
  v.field("shared_gate", m.shared_gate);
  v.field("first_dense_layers", m.first_dense_layers);
  v.field("every_layers", m.every);
  v.field("normalise_top_k", m.normalise_top_k);
  v.choice("router", m.router, Names{"softmax", "sigmoid"});
  v.field("router_bias", m.router_bias);
  v.field("expert_bias", m.expert_bias);
  v.field("groups", m.groups);
  v.field("groups_per_token", m.groups_per_token);
}

template <class Visitor>
void visit(Visitor& v, Mla& m) {
  v.field("q_lora_rank", m.q_lora_rank);
  v.field("kv_lora_rank", m.kv_lora_rank);
  v.field("qk_nope_head_dim", m.qk_nope_head_dim);
  v.field("qk_rope_head_dim", m.qk_rope_head_dim);
  v.field("v_head_dim", m.v_head_dim);
}

template <class Visitor>
void visit(Visitor& v, Model& m) {
  v.field("id", m.id);
  v.field("name", m.name);
  v.field("source", m.source);
  v.field("assumed", m.assumptions);
  v.field("layers", m.layers);
  v.field("hidden", m.hidden);
  v.field("heads", m.heads);
  v.field("kv_heads", m.kv_heads);
  v.field("head_dim", m.head_dim);
  v.field("intermediate", m.intermediate);
  v.field("vocabulary", m.vocabulary);
  v.field("max_positions", m.max_positions);
  v.field("tied_embeddings", m.tied_embeddings);
  v.field("lm_head_bias", m.lm_head_bias);
  v.field("embedding_norm", m.embedding_norm);
  v.choice("norm", m.norm, Names{"rms", "layer"});
  v.field("norm_bias", m.norm_bias);
  v.field("norms_per_layer", m.norms_per_layer);
  v.field("parallel_residual", m.parallel_residual);
  v.field("norm_epsilon", m.norm_epsilon);
  v.choice("activation", m.activation,
           Names{"swiglu", "geglu", "gelu", "relu", "squared-relu", "silu"});
  v.part("activation_limit", m.activation_limit);
  v.field("attention_bias", m.attention_bias);
  v.field("attention_output_bias", m.attention_output_bias);
  v.field("mlp_bias", m.mlp_bias);
  v.field("qk_norm", m.qk_norm);
  v.field("attention_sinks", m.attention_sinks);
  v.choice("positions", m.positions, Names{"rope", "learned", "alibi", "none"});
  v.field("position_rows", m.position_rows);
  v.field("rope_theta", m.rope_theta);
  v.field("rotary_fraction", m.rotary_fraction);
  v.choice("rope_scaling", m.rope_scaling,
           Names{"none", "linear", "dynamic", "llama3", "yarn", "longrope"});
  v.field("rope_factor", m.rope_factor);
  v.field("rope_low_freq_factor", m.rope_low_freq_factor);
  v.field("rope_high_freq_factor", m.rope_high_freq_factor);
  v.field("rope_original_positions", m.rope_original_positions);
  v.field("window", m.window);
  v.field("full_attention_every", m.full_attention_every);
  v.field("mtp_layers", m.mtp_layers);
  v.part("moe", m.moe);
  v.part("mla", m.mla);
}

template <class Visitor>
void visit(Visitor& v, Plan& p) {
  v.field("tp", p.tp);
  v.field("sequence_parallel", p.sequence_parallel);
  v.field("pp", p.pp);
  v.field("vpp", p.vpp);
  v.choice("schedule", p.schedule,
           Names{"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v", "dualpipe"});
  v.field("schedule_group", p.schedule_group);
  v.field("layer_split", p.layer_split);
  v.field("cp", p.cp);
  v.choice("cp_kind", p.cp_kind, Names{"all-gather", "ring", "all-to-all"});
  v.field("dp_shard", p.dp_shard);
  v.field("dp_replicate", p.dp_replicate);
  v.field("zero", p.zero);
  v.field("reshard_after_forward", p.reshard_after_forward);
  v.field("ep", p.ep);
  v.field("etp", p.etp);
  v.field("micro_batch", p.micro_batch);
  v.choice("recompute", p.recompute, Names{"none", "selective", "full"});
  v.modules("recompute_modules", p.recompute_modules);
  v.field("recompute_layers", p.recompute_layers);
  v.choice("compute", p.compute,
           Names{"fp32", "tf32", "bf16", "fp16", "fp8", "int64", "int32", "uint8"});
  v.choice("gradient", p.gradient,
           Names{"fp32", "tf32", "bf16", "fp16", "fp8", "int64", "int32", "uint8"});
  v.field("optimizer_offload", p.optimizer_offload);
}

}  // namespace meshplan::planfile
