// SPDX-License-Identifier: Apache-2.0
#include "strategies/trainer/trainer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "strategies/plan/plan.hpp"
#include "strategies/program/op.hpp"
#include "strategies/rules/rules.hpp"
#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {
namespace {

std::string folder() { return data_root() + "/strategies/data/trainers"; }

const std::vector<std::string> kFormats = {"fp32", "tf32", "bf16", "fp16", "fp8", "fp4"};

std::optional<DType> dtype_from(const std::string& word) {
  for (const DType type :
       {DType::fp32, DType::tf32, DType::bf16, DType::fp16, DType::fp8, DType::fp4})
    if (word == name_of(type)) return type;
  return std::nullopt;
}

DType format(MapReader& map, const std::string& key, DType fallback) {
  return dtype_from(map.choice(key, kFormats, name_of(fallback))).value_or(fallback);
}

/// One of an enumeration's words, which stand in its order.
template <class Enum>
Enum word_of(MapReader& map, const std::string& key, const std::vector<std::string>& words,
             Enum fallback) {
  const std::string word = map.choice(key, words, words[static_cast<size_t>(fallback)]);
  return static_cast<Enum>(std::find(words.begin(), words.end(), word) - words.begin());
}

Status read_kernels(MapReader map, Trainer& t) {
  t.attention = word_of(map, "attention", {"materialised", "flash"}, t.attention);
  t.flash = word_of(map, "flash_kernel", {"latest", "flash2", "triton", "flash1"}, t.flash);
  t.fused_softmax = map.boolean("fused_softmax", t.fused_softmax);
  t.fused_softmax_max_sequence =
      map.integer("fused_softmax_max_sequence", t.fused_softmax_max_sequence);
  t.fused_bias_activation = map.boolean("fused_bias_activation", t.fused_bias_activation);
  t.fused_bias_dropout_add = map.boolean("fused_bias_dropout_add", t.fused_bias_dropout_add);
  t.fused_norm = map.boolean("fused_norm", t.fused_norm);
  t.fused_norm_recomputed = map.boolean("fused_norm_recomputed", t.fused_norm_recomputed);
  t.fused_rope = map.boolean("fused_rope", t.fused_rope);
  t.fused_rope_scaled = map.boolean("fused_rope_scaled", t.fused_rope_scaled);
  t.attention_output_copied = map.boolean("attention_output_copied", t.attention_output_copied);
  t.qkv_product_kept = map.boolean("qkv_product_kept", t.qkv_product_kept);
  t.fused_cross_entropy = map.boolean("fused_cross_entropy", t.fused_cross_entropy);
  t.fused_loss_widens = map.boolean("fused_loss_widens", t.fused_loss_widens);
  t.gradients_always_scaled = map.boolean("gradients_always_scaled", t.gradients_always_scaled);
  t.loss_metrics = static_cast<int>(map.integer("loss_metrics", t.loss_metrics));
  t.loss_chunks = static_cast<int>(map.integer("loss_chunks", t.loss_chunks));
  if (t.loss_chunks < 1) map.problem("loss_chunks", "must be 1 or more");
  t.loss_in_place = map.boolean("loss_in_place", t.loss_in_place);
  t.loss_shifts_copy = map.boolean("loss_shifts_copy", t.loss_shifts_copy);
  t.logits_held = map.boolean("logits_held", t.logits_held);
  t.logits_gathered = map.boolean("logits_gathered", t.logits_gathered);
  t.sequence_gathered_again = map.boolean("sequence_gathered_again", t.sequence_gathered_again);
  t.fp8_inputs_kept = map.boolean("fp8_inputs_kept", t.fp8_inputs_kept);
  t.expert_bias_clamp_apart = map.boolean("expert_bias_clamp_apart", t.expert_bias_clamp_apart);
  t.expert_operands_apart = map.boolean("expert_operands_apart", t.expert_operands_apart);
  t.expert_chunks_sorted = map.boolean("expert_chunks_sorted", t.expert_chunks_sorted);
  t.experts_padded = map.boolean("experts_padded", t.experts_padded);
  t.expert_load_ratio = map.number("expert_load_ratio", t.expert_load_ratio);
  if (!(t.expert_load_ratio >= 1)) map.problem("expert_load_ratio", "must be 1 or more");
  t.moe_gates_in_activation = map.boolean("moe_gates_in_activation", t.moe_gates_in_activation);
  t.adapter_on_projection = map.boolean("adapter_on_projection", t.adapter_on_projection);
  t.adapter_dropout = map.boolean("adapter_dropout", t.adapter_dropout);
  t.compiled = map.boolean("compiled", t.compiled);
  t.dropout = map.boolean("dropout", t.dropout);
  t.activation_recomputed = map.boolean("activation_recomputed", t.activation_recomputed);
  t.wgrad_accumulation_fused = map.boolean("wgrad_accumulation_fused", t.wgrad_accumulation_fused);
  t.optimizer = word_of(map, "optimizer", {"eager", "foreach", "fused"}, t.optimizer);
  return map.finish();
}

Status read_formats(MapReader map, Trainer& t) {
  if (map.has("compute")) t.compute.clear();
  for (const std::string& word : map.texts("compute")) {
    const auto type = dtype_from(word);
    if (!type)
      map.problem("compute", "unknown format '" + word + "'", suggest(word, kFormats));
    else
      t.compute.push_back(*type);
  }
  t.dynamic_scaling = map.boolean("dynamic_scaling", t.dynamic_scaling);
  t.quantised_weights_kept = map.boolean("quantised_weights_kept", t.quantised_weights_kept);
  t.scales_agreed_by_stage = map.boolean("scales_agreed_by_stage", t.scales_agreed_by_stage);
  t.quantised_weights_gathered =
      map.boolean("quantised_weights_gathered", t.quantised_weights_gathered);
  t.weights_transposed_anew = map.boolean("weights_transposed_anew", t.weights_transposed_anew);
  if (map.has("gradient")) t.gradient_bf16 = t.gradient = format(map, "gradient", t.gradient);
  t.gradient_bf16 = format(map, "gradient_bf16", t.gradient_bf16);
  t.bf16_states_sharded = map.boolean("bf16_states_sharded", t.bf16_states_sharded);
  t.bf16_gradients_if_sharded =
      map.boolean("bf16_gradients_if_sharded", t.bf16_gradients_if_sharded);
  t.autograd_gradients_kept = map.boolean("autograd_gradients_kept", t.autograd_gradients_kept);
  t.reduce = format(map, "reduce", t.reduce);
  t.master_weights = map.boolean("master_weights", t.master_weights);
  t.optimizer_moment = format(map, "optimizer_moment", t.optimizer_moment);
  t.logits = format(map, "logits", t.logits);
  t.pad_vocabulary = map.boolean("pad_vocabulary", t.pad_vocabulary);
  return map.finish();
}

Status read_overlap(MapReader map, Trainer& t) {
  t.tp_overlap = word_of(map, "tp", {"none", "bulk", "ring"}, t.tp_overlap);
  t.tp_scatter_in_pieces = map.boolean("tp_scatter_in_pieces", t.tp_scatter_in_pieces);
  t.tp_sums_each_product = map.boolean("tp_sums_each_product", t.tp_sums_each_product);
  t.overlap_grad_reduce = map.boolean("grad_reduce", t.overlap_grad_reduce);
  t.overlap_param_gather = map.boolean("param_gather", t.overlap_param_gather);
  t.overlap_p2p = map.boolean("p2p", t.overlap_p2p);
  t.p2p_in_line = map.boolean("p2p_in_line", t.p2p_in_line);
  t.p2p_scattered = map.boolean("p2p_scattered", t.p2p_scattered);
  t.overlap_cp = map.boolean("cp", t.overlap_cp);
  t.overlap_ep = map.boolean("ep", t.overlap_ep);
  t.ep_sends_once = map.boolean("ep_sends_once", t.ep_sends_once);
  t.fsdp_prefetch = static_cast<int>(map.integer("fsdp_prefetch_units", t.fsdp_prefetch));
  t.reduce_every_round = map.boolean("reduce_every_round", t.reduce_every_round);
  t.reduce_every_micro_batch = map.boolean("reduce_every_micro_batch", t.reduce_every_micro_batch);
  t.pipeline_reduces_once = map.boolean("pipeline_reduces_once", t.pipeline_reduces_once);
  t.zero_all_reduces = static_cast<int>(map.integer("zero_all_reduces", t.zero_all_reduces));
  if (t.zero_all_reduces < 0 || t.zero_all_reduces > 2)
    map.problem("zero_all_reduces", "must be 0, 1 or 2");
  t.bucket_bytes = map.number("bucket_bytes", t.bucket_bytes);
  return map.finish();
}

/// Every word of a list must be one of `known`.
void check_words(MapReader& map, const std::string& key, const std::vector<std::string>& words,
                 const std::vector<std::string>& known) {
  for (const auto& word : words)
    if (std::find(known.begin(), known.end(), word) == known.end())
      map.problem(key, "unknown value '" + word + "'", suggest(word, known));
}

Status read_host(MapReader map, Trainer& t) {
  t.host = word_of(map, "class", {"eager", "torch", "compiled", "graph", "native"}, t.host);
  if (map.has("graphed")) {
    const std::vector<std::string> words = map.texts("graphed");
    check_words(map, "graphed", words, {"attention", "router"});
    t.graphed_modules = 0;
    for (const std::string& word : words)
      t.graphed_modules |= word == "router"
                               ? bit(Module::router)
                               : bit(Module::norm) | bit(Module::qkv) | bit(Module::qkv_up) |
                                     bit(Module::rope) | bit(Module::core_attention) |
                                     bit(Module::attention_out);
  }
  t.sync_points_per_step =
      static_cast<int>(map.integer("sync_points_per_step", t.sync_points_per_step));
  return map.finish();
}

Status read_memory(MapReader map, Trainer& t) {
  t.recompute_stops_early = map.boolean("recompute_stops_early", t.recompute_stops_early);
  t.sequence_parallel_default =
      map.boolean("sequence_parallel_default", t.sequence_parallel_default);
  t.pipeline_receives_kept = map.boolean("pipeline_receives_kept", t.pipeline_receives_kept);
  t.deallocate_pipeline_outputs =
      map.boolean("deallocate_pipeline_outputs", t.deallocate_pipeline_outputs);
  t.recompute_core_attention = map.boolean("recompute_core_attention", t.recompute_core_attention);
  t.layer_split = word_of(map, "layer_split", {"equal", "by-cost", "with-ends"}, t.layer_split);
  t.head_as_layers = static_cast<int>(map.integer("head_as_layers", t.head_as_layers));
  t.gradient_copy_at_step = map.boolean("gradient_copy_at_step", t.gradient_copy_at_step);
  t.gradients_flattened_at_step =
      map.boolean("gradients_flattened_at_step", t.gradients_flattened_at_step);
  t.gradients_made_anew = map.boolean("gradients_made_anew", t.gradients_made_anew);
  t.weight_gradient_placeholders =
      map.boolean("weight_gradient_placeholders", t.weight_gradient_placeholders);
  t.optimizer_in_backward = map.boolean("optimizer_in_backward", t.optimizer_in_backward);
  t.optimizer_paged = map.boolean("optimizer_paged", t.optimizer_paged);
  t.layers_on_host_share = map.number("layers_on_host_share", t.layers_on_host_share);
  t.offload_weights = map.boolean("offload_weights", t.offload_weights);
  t.alternate_products_kept = map.boolean("alternate_products_kept", t.alternate_products_kept);
  t.memory_report = word_of(map, "report", {"allocated", "reserved", "device"}, t.memory_report);
  t.expandable_segments = map.boolean("expandable_segments", t.expandable_segments);
  t.allocator_slack = map.number("allocator_slack_share", t.allocator_slack);
  t.context_bytes = map.integer("context_bytes", t.context_bytes);
  t.workspace_bytes = map.integer("workspace_bytes", t.workspace_bytes);
  t.nccl_bytes_per_group = map.integer("nccl_bytes_per_group", t.nccl_bytes_per_group);
  return map.finish();
}

Status read_plans(MapReader map, Trainer& t) {
  if (map.has("schedules")) t.schedules = map.texts("schedules");
  std::vector<std::string> kinds;
  kinds.reserve(kScheduleKinds);
  for (int i = 0; i < kScheduleKinds; ++i)
    kinds.emplace_back(name_of(static_cast<ScheduleKind>(i)));
  check_words(map, "schedules", t.schedules, kinds);
  t.max_zero = static_cast<int>(map.integer("max_zero", t.max_zero));
  t.tensor_parallel = map.boolean("tensor_parallel", t.tensor_parallel);
  t.pipeline_parallel = map.boolean("pipeline_parallel", t.pipeline_parallel);
  if (map.has("context_parallel")) t.context_parallel_kinds = map.texts("context_parallel");
  check_words(map, "context_parallel", t.context_parallel_kinds,
              {to_text(ContextParallel::all_gather), to_text(ContextParallel::ring),
               to_text(ContextParallel::all_to_all)});
  t.context_parallel = !t.context_parallel_kinds.empty();
  t.expert_parallel = map.boolean("expert_parallel", t.expert_parallel);
  t.hybrid_shard = map.boolean("hybrid_shard", t.hybrid_shard);
  t.optimizer_offload = map.boolean("optimizer_offload", t.optimizer_offload);
  const std::vector<std::string> units = map.texts("recompute");
  check_words(map, "recompute", units, recompute_unit_names());
  if (map.has("recompute")) {
    t.recompute_limited = true;
    t.recompute_units.clear();
    for (const std::string& unit : units) t.recompute_units.push_back(recompute_unit(unit));
  }
  if (map.has("recompute_some_layers"))
    t.recompute_some_layers = map.texts("recompute_some_layers");
  check_words(map, "recompute_some_layers", t.recompute_some_layers,
              {to_text(Recompute::selective), to_text(Recompute::full)});
  if (map.has("rules")) t.rules = map.texts("rules");
  check_words(map, "rules", t.rules, trainer_rule_names());
  return map.finish();
}

}  // namespace

Status read_facts(MapReader& file, Trainer& trainer) {
  MESHPLAN_CHECK(read_kernels(file.map("kernels"), trainer));
  MESHPLAN_CHECK(read_formats(file.map("formats"), trainer));
  MESHPLAN_CHECK(read_overlap(file.map("overlap"), trainer));
  MESHPLAN_CHECK(read_host(file.map("host"), trainer));
  return read_memory(file.map("memory"), trainer);
}

Result<Trainer> read_trainer(const std::string& path) {
  MESHPLAN_TRY(MapReader file, MapReader::open(path));
  Trainer t;
  if (const std::string base = file.text("like", ""); !base.empty()) {
    MESHPLAN_TRY(t, read_trainer(folder() + "/" + base + ".yaml"));
  }
  t.id = file.text("id");
  t.name = file.text("name");
  t.launched_as = file.text("launched_as", "");
  t.aliases = file.texts("aliases");
  t.source = fmt::format("{}", fmt::join(file.texts("source"), "; "));
  if (t.source.empty()) file.problem("source", "a trainer needs at least one source");
  t.assumed = file.texts("assumed");
  t.rank_order = file.text("rank_order", t.rank_order);
  MESHPLAN_CHECK(read_facts(file, t));
  MESHPLAN_CHECK(read_plans(file.map("plans"), t));
  MESHPLAN_CHECK(file.finish());
  return t;
}

bool recomputes_some_layers(const Trainer& trainer, Recompute kind) {
  const auto& kinds = trainer.recompute_some_layers;
  return std::find(kinds.begin(), kinds.end(), to_text(kind)) != kinds.end();
}

DType gradient_of(const Trainer& trainer, DType compute) {
  if (compute == DType::fp32 || compute == DType::tf32) return DType::fp32;
  return compute == DType::bf16 || is_quantised(compute) ? trainer.gradient_bf16 : trainer.gradient;
}

Result<std::vector<Trainer>> all_trainers() {
  std::vector<Trainer> all;
  for (const auto& path : files_in(folder(), ".yaml")) {
    MESHPLAN_TRY(Trainer trainer, read_trainer(path));
    all.push_back(std::move(trainer));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return all;
}

Result<Trainer> find_trainer(const std::string& id) {
  // The file is named after the id; only aliases need all files.
  const bool plain = id.find_first_of("/\\") == std::string::npos;
  const std::string path = folder() + "/" + id + ".yaml";
  if (plain && !id.empty() && std::filesystem::exists(path)) return read_trainer(path);
  MESHPLAN_TRY(const std::vector<Trainer> all, all_trainers());
  std::vector<std::string> names;
  for (const Trainer& trainer : all) {
    names.push_back(trainer.id);
    for (const auto& alias : trainer.aliases) {
      if (alias == id) return trainer;
      names.push_back(alias);
    }
  }
  return Diagnostic{ErrorKind::usage, "unknown trainer", "--trainer", id, {}, suggest(id, names)};
}

Result<Trainer> default_trainer() { return find_trainer(kDefaultTrainer); }

}  // namespace meshplan
