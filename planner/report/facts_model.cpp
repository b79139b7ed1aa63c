// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "costmodel/profile/constants.hpp"
#include "planner/report/facts.hpp"
#include "planner/report/format.hpp"
#include "strategies/program/op.hpp"
#include "strategies/trainer/settings.hpp"

namespace meshplan::report {
namespace {

const char* name_of(NormType norm) { return norm == NormType::rms ? "rms" : "layer"; }

const char* name_of(ActivationType activation) {
  switch (activation) {
    case ActivationType::swiglu:
      return "swiglu";
    case ActivationType::geglu:
      return "geglu";
    case ActivationType::gelu:
      return "gelu";
    case ActivationType::relu:
      return "relu";
    case ActivationType::squared_relu:
      return "squared-relu";
    case ActivationType::silu:
      return "silu";
  }
  return "?";
}

const char* name_of(Positions positions) {
  switch (positions) {
    case Positions::rope:
      return "rope";
    case Positions::learned:
      return "learned";
    case Positions::alibi:
      return "alibi";
    case Positions::none:
      return "none";
  }
  return "?";
}

void parameter_count(Sheet& sheet, const char* label, const char* key, int64_t value) {
  sheet.add(label, key, value,
            fmt::format("{} ({})", grouped(value), count(static_cast<double>(value))));
}

void add_experts(Sheet& s, const Model& model) {
  const Moe& moe = *model.moe;
  s.whole("experts", "experts", moe.experts);
  s.whole("experts a token visits", "experts_per_token", moe.top_k);
  s.whole("width of an expert", "expert_intermediate", moe.expert_intermediate);
  s.whole("dimensions that experts work on", "expert_hidden", expert_hidden(model));
  s.whole("shared experts", "shared_experts", moe.shared_experts);
  s.whole("width of the shared experts", "shared_intermediate", moe.shared_intermediate);
  s.whole("layers with experts", "moe_layers", layers_of(model, LayerKind::moe));
  s.whole("layers without", "dense_layers", layers_of(model, LayerKind::dense));
}

void add_mla(Sheet& s, const Mla& mla) {
  s.whole("latent rank of q (0: full)", "q_lora_rank", mla.q_lora_rank);
  s.whole("latent rank of k and v", "kv_lora_rank", mla.kv_lora_rank);
  s.whole("head size without positions", "qk_nope_head_dim", mla.qk_nope_head_dim);
  s.whole("head size with positions", "qk_rope_head_dim", mla.qk_rope_head_dim);
  s.whole("head size of v", "v_head_dim", mla.v_head_dim);
}

const char* name_of(TpOverlap overlap) {
  switch (overlap) {
    case TpOverlap::none:
      return "none";
    case TpOverlap::bulk:
      return "bulk";
    case TpOverlap::ring:
      return "ring";
  }
  return "?";
}

const char* name_of(LayerSplit split) {
  switch (split) {
    case LayerSplit::equal:
      return "equal numbers";
    case LayerSplit::by_cost:
      return "by cost, with the head";
    case LayerSplit::with_ends:
      return "equal numbers, embedding, norm and head counted";
  }
  return "?";
}

const char* name_of(FlashKernel flash) {
  switch (flash) {
    case FlashKernel::latest:
      return "latest";
    case FlashKernel::flash2:
      return "flash2";
    case FlashKernel::triton:
      return "triton";
    case FlashKernel::flash1:
      return "flash1";
  }
  return "?";
}

const char* name_of(OptimizerKernel optimizer) {
  switch (optimizer) {
    case OptimizerKernel::eager:
      return "eager";
    case OptimizerKernel::foreach_:
      return "foreach";
    case OptimizerKernel::fused:
      return "fused";
  }
  return "?";
}

void list(Sheet& s, const char* label, const char* key, const std::vector<std::string>& words) {
  s.add(label, key, words, words.empty() ? "none" : fmt::format("{}", fmt::join(words, ", ")));
}

void add_kernels(Sheet& s, const Trainer& t) {
  s.word("attention", "attention",
         t.attention == AttentionKernel::flash ? "flash" : "materialised");
  s.word("flash kernel", "flash_kernel", name_of(t.flash));
  s.flag("fused softmax", "fused_softmax", t.fused_softmax);
  s.add("longest row of that softmax", "fused_softmax_max_sequence", t.fused_softmax_max_sequence,
        t.fused_softmax_max_sequence == 0 ? "any" : grouped(t.fused_softmax_max_sequence));
  s.flag("fused bias + activation", "fused_bias_activation", t.fused_bias_activation);
  s.flag("fused bias + dropout + add", "fused_bias_dropout_add", t.fused_bias_dropout_add);
  s.flag("fused norm", "fused_norm", t.fused_norm);
  s.flag("fused norm when recomputed", "fused_norm_recomputed", t.fused_norm_recomputed);
  s.flag("fused rope", "fused_rope", t.fused_rope);
  s.flag("fused rope with YaRN", "fused_rope_scaled", t.fused_rope_scaled);
  s.flag("product of q, k and v kept", "qkv_product_kept", t.qkv_product_kept);
  s.flag("fused cross-entropy", "fused_cross_entropy", t.fused_cross_entropy);
  s.flag("fused cross-entropy in fp32", "fused_loss_widens", t.fused_loss_widens);
  s.flag("gradients scaled in every step", "gradients_always_scaled", t.gradients_always_scaled);
  s.whole("metrics over the logits", "loss_metrics", t.loss_metrics);
  s.whole("parts that the loss is made in", "loss_chunks", t.loss_chunks);
  s.flag("loss in place", "loss_in_place", t.loss_in_place);
  s.flag("loss in a shifted copy", "loss_shifts_copy", t.loss_shifts_copy);
  s.flag("gates in the experts' activation", "moe_gates_in_activation", t.moe_gates_in_activation);
  s.add("tokens on the fullest expert rank over the mean", "expert_load_ratio", t.expert_load_ratio,
        fmt::format("{}", t.expert_load_ratio));
  s.flag("8-bit experts' rows padded", "experts_padded", t.experts_padded);
  s.flag("experts' biases, clamps apart", "expert_bias_clamp_apart", t.expert_bias_clamp_apart);
  s.flag("8-bit operands one an expert", "expert_operands_apart", t.expert_operands_apart);
  s.flag("tokens sorted by expert", "expert_chunks_sorted", t.expert_chunks_sorted);
  s.flag("compiled element-wise chains", "compiled", t.compiled);
  s.flag("dropout", "dropout", t.dropout);
  s.flag("adapters behind attention too", "adapter_on_projection", t.adapter_on_projection);
  s.flag("dropout before adapters", "adapter_dropout", t.adapter_dropout);
  s.flag("weight gradient added in product", "wgrad_accumulation_fused",
         t.wgrad_accumulation_fused);
  s.word("optimizer kernels", "optimizer", name_of(t.optimizer));
}

void add_overlap(Sheet& s, const Trainer& t) {
  s.word("overlap of TP", "tp_overlap", name_of(t.tp_overlap));
  s.flag("scatters of TP in pieces", "tp_scatter_in_pieces", t.tp_scatter_in_pieces);
  s.word("layers of pipeline stages", "layer_split", name_of(t.layer_split));
  s.whole("layers that norm and head count as", "head_as_layers", t.head_as_layers);
  s.flag("gate and up summed over tp one by one", "tp_sums_each_product", t.tp_sums_each_product);
  s.flag("overlap of gradient reduction", "overlap_grad_reduce", t.overlap_grad_reduce);
  s.flag("overlap of parameter gather", "overlap_param_gather", t.overlap_param_gather);
  s.flag("overlap of pipeline sends", "overlap_p2p", t.overlap_p2p);
  s.flag("pipeline sends and receives one by one", "p2p_in_line", t.p2p_in_line);
  s.flag("pipeline sends in parts of tp", "p2p_scattered", t.p2p_scattered);
  s.flag("overlap of CP", "overlap_cp", t.overlap_cp);
  s.flag("overlap of EP", "overlap_ep", t.overlap_ep);
  s.flag("a token sent once to a rank's experts", "ep_sends_once", t.ep_sends_once);
  s.whole("FSDP units gathered ahead", "fsdp_prefetch_units", t.fsdp_prefetch);
  s.flag("FSDP reduces every micro-batch", "reduce_every_micro_batch", t.reduce_every_micro_batch);
  s.flag("pipelines reduce once a step", "pipeline_reduces_once", t.pipeline_reduces_once);
  s.whole("whole gradients reduced up to ZeRO", "zero_all_reduces", t.zero_all_reduces);
  s.add("gradient bucket", "bucket_bytes", t.bucket_bytes,
        t.bucket_bytes > 0 ? gib(t.bucket_bytes) : "one layer");
  s.word("host", "host_class", id_of(t.host));
  s.flag("attention in a CUDA graph", "attention_graphed",
         (t.graphed_modules & bit(Module::core_attention)) != 0);
  s.flag("router in a CUDA graph", "router_graphed",
         (t.graphed_modules & bit(Module::router)) != 0);
  s.whole("host waits a step", "sync_points_per_step", t.sync_points_per_step);
}

void add_memory(Sheet& s, const Trainer& t) {
  const auto size = [&](const char* label, const char* key, int64_t bytes) {
    s.add(label, key, bytes, gib(static_cast<double>(bytes)));
  };
  s.flag("receive buffers for all micro-batches", "pipeline_receives_kept",
         t.pipeline_receives_kept);
  s.flag("frees pipeline outputs", "deallocate_pipeline_outputs", t.deallocate_pipeline_outputs);
  s.flag("selective = attention core only", "recompute_core_attention", t.recompute_core_attention);
  s.flag("fp32 gradient copy at step", "gradient_copy_at_step", t.gradient_copy_at_step);
  s.flag("flat gradient copy at step", "gradients_flattened_at_step",
         t.gradients_flattened_at_step);
  s.flag("gradients freed after the step", "gradients_made_anew", t.gradients_made_anew);
  s.flag("placeholders of weight gradients", "weight_gradient_placeholders",
         t.weight_gradient_placeholders);
  s.flag("optimizer within the backward pass", "optimizer_in_backward", t.optimizer_in_backward);
  s.flag("optimizer states paged", "optimizer_paged", t.optimizer_paged);
  s.add("layers on the host at ZeRO 3", "layers_on_host_share", t.layers_on_host_share,
        fmt::format("{:g}", t.layers_on_host_share));
  s.flag("offloads weights too", "offload_weights", t.offload_weights);
  s.flag("keeps every second product", "alternate_products_kept", t.alternate_products_kept);
  s.flag("segments grow", "expandable_segments", t.expandable_segments);
  s.add("fragmentation where they do", "allocator_slack_fraction", t.allocator_slack,
        percent(t.allocator_slack) + " of activations");
  size("context", "context_bytes", t.context_bytes);
  size("library workspace", "workspace_bytes", t.workspace_bytes);
  size("buffers of a communicator", "nccl_bytes_per_group", t.nccl_bytes_per_group);
}

}  // namespace

Sheet facts_of(const Model& m) {
  Sheet s{"model", m.id, m.name, {}, {}, m.source, m.assumptions};
  parameter_count(s, "parameters", "parameters", parameters(m));
  if (m.moe)
    parameter_count(s, "parameters a token uses", "active_parameters", active_parameters(m));
  s.whole("layers", "layers", m.layers);
  s.whole("hidden size", "hidden", m.hidden);
  s.whole("query heads", "heads", m.heads);
  s.whole("key/value heads", "kv_heads", m.kv_heads);
  s.whole("head size", "head_dim", m.head_dim);
  s.whole("MLP width", "intermediate", m.intermediate);
  s.whole("vocabulary", "vocabulary", m.vocabulary);
  s.add("longest sequence", "max_positions", m.max_positions,
        m.max_positions > 0 ? grouped(m.max_positions) : "not stated");
  s.word("activation", "activation", name_of(m.activation));
  s.word("norm", "norm", name_of(m.norm));
  s.word("positions", "positions", name_of(m.positions));
  s.flag("tied embeddings", "tied_embeddings", m.tied_embeddings);
  s.flag("parallel attention and MLP", "parallel_residual", m.parallel_residual);
  s.add("attention window", "window", m.window, m.window > 0 ? grouped(m.window) : "none");
  if (m.moe) add_experts(s, m);
  if (m.mla) add_mla(s, *m.mla);
  parameter_count(s, "input embedding", "embedding_parameters", embedding_parameters(m));
  for (const LayerKind kind : {LayerKind::dense, LayerKind::moe})
    if (layers_of(m, kind) > 0) {
      const bool dense = kind == LayerKind::dense;
      parameter_count(s, dense ? "a dense layer" : "a layer with experts",
                      dense ? "dense_layer_parameters" : "moe_layer_parameters",
                      parameters_of_layer(m, kind));
    }
  parameter_count(s, "final norm and head", "head_parameters", head_parameters(m));
  return s;
}

Sheet facts_of(const Trainer& t) {
  Sheet s{"trainer", t.id, t.name, t.aliases, {}, t.source, t.assumed};
  s.word("rank order, innermost first", "rank_order", t.rank_order);
  if (!t.launched_as.empty()) s.word("launch files of", "launched_as", t.launched_as);
  std::vector<std::string> settings;
  for (const TrainerSetting& each : t.settings) settings.push_back(to_text(each));
  if (!settings.empty()) list(s, "set by the plan", "settings", settings);
  std::vector<std::string> formats;
  for (const DType type : t.compute) formats.emplace_back(meshplan::name_of(type));
  list(s, "products in", "compute_formats", formats);
  s.word("gradients kept in", "gradient_format", meshplan::name_of(t.gradient));
  s.word("gradients reduced in", "reduce_format", meshplan::name_of(t.reduce));
  s.flag("8-bit weights kept", "quantised_weights_kept", t.quantised_weights_kept);
  s.flag("8-bit scales agreed by all ranks of a stage", "scales_agreed_by_stage",
         t.scales_agreed_by_stage);
  s.flag("8-bit weights transposed anew", "weights_transposed_anew", t.weights_transposed_anew);
  s.flag("8-bit weights gathered", "quantised_weights_gathered", t.quantised_weights_gathered);
  s.flag("fp32 master weights", "master_weights", t.master_weights);
  s.word("optimizer moments in", "optimizer_moment_format", meshplan::name_of(t.optimizer_moment));
  s.word("loss computed in", "logits_format", meshplan::name_of(t.logits));
  s.flag("vocabulary padded", "pad_vocabulary", t.pad_vocabulary);
  add_kernels(s, t);
  add_overlap(s, t);
  s.flag("sequence parallelism by default", "sequence_parallel_default",
         t.sequence_parallel_default);
  add_memory(s, t);
  list(s, "schedules", "schedules", t.schedules);
  list(s, "recompute of some layers", "recompute_some_layers", t.recompute_some_layers);
  s.whole("highest ZeRO level", "max_zero", t.max_zero);
  s.flag("tensor parallelism", "tensor_parallel", t.tensor_parallel);
  s.flag("pipeline parallelism", "pipeline_parallel", t.pipeline_parallel);
  s.flag("expert parallelism", "expert_parallel", t.expert_parallel);
  list(s, "context parallelism", "context_parallel_kinds", t.context_parallel_kinds);
  s.flag("hybrid sharding (HSDP)", "hybrid_shard", t.hybrid_shard);
  s.flag("optimizer offload", "optimizer_offload", t.optimizer_offload);
  list(s, "rules of its own", "rules", t.rules);
  return s;
}

}  // namespace meshplan::report
