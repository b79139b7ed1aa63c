// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "strategies/launch/nanotron/files.hpp"
#include "strategies/launch/trainers.hpp"

namespace meshplan::launch {
namespace nanotron {
namespace {

bool plain_llama(const Model& m) {
  return !m.moe && !m.mla && m.sublayers == 0 && m.norm == NormType::rms &&
         m.norms_per_layer == 2 && m.activation == ActivationType::swiglu && !m.attention_bias &&
         !m.attention_output_bias && !m.mlp_bias && !m.qk_norm && !m.parallel_residual &&
         m.positions == Positions::rope && m.window == 0 && m.heads * m.head_dim == m.hidden;
}

/// YAML 1.1, which nanotron reads, takes a number with an exponent only with a point: 1.0e-05.
std::string yaml_number(double value) {
  std::string text = fmt::format("{}", value);
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos)
    text.insert(exponent, ".0");
  return text;
}

}  // namespace

Result<std::string> write(const Job& job, Version) {
  const Model& m = job.model;
  const Plan& p = job.plan;
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  if (!plain_llama(m))
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = "nanotron's Llama configuration has no words for this shape",
                      .where = "model",
                      .value = m.id,
                      .hint = "dense models with RMSNorm, SwiGLU, RoPE and no biases"};
  std::string out = fmt::format("# A plan of meshplan for nanotron: {}\n", to_text(p));
  out += fmt::format(
      "general: {{project: meshplan, run: {}, seed: 42, ignore_sanity_checks: true}}\n"
      "checkpoints: {{checkpoints_path: checkpoints, checkpoint_interval: 500}}\n"
      "data_stages:  # without a dataset: a run on random tokens\n"
      "- {{name: stable, start_training_step: 1, data: {{dataset: null, seed: 42, "
      "num_loading_workers: 1}}}}\n",
      m.id);
  out += fmt::format(
      "parallelism:\n  dp: {}\n  pp: {}\n  tp: {}\n  pp_engine: {}\n  tp_mode: {}\n"
      "  tp_linear_async_communication: {}\n  recompute_layer: {}\n  context_parallel_size: {}\n"
      "  expert_parallel_size: 1\n",
      p.dp(), p.pp, p.tp, p.schedule == ScheduleKind::gpipe ? "afab" : "1f1b",
      p.sequence_parallel ? "REDUCE_SCATTER" : "ALL_REDUCE",
      flag(job.trainer.tp_overlap != TpOverlap::none && p.sequence_parallel && p.tp > 1),
      flag(p.recompute == Recompute::full), p.cp);
  out += fmt::format(
      "model:\n  dtype: {}\n  init_method: {{std: 0.02}}\n  make_vocab_size_divisible_by: 1\n"
      "  model_config:\n    is_llama_config: true\n    hidden_size: {}\n    intermediate_size: {}\n"
      "    num_hidden_layers: {}\n    num_attention_heads: {}\n    num_key_value_heads: {}\n"
      "    vocab_size: {}\n    max_position_embeddings: {}\n    rope_theta: {:.1f}\n"
      "    rms_norm_eps: {}\n    tie_word_embeddings: {}\n",
      p.compute == DType::fp16   ? "float16"
      : p.compute == DType::fp32 ? "float32"
                                 : "bfloat16",
      m.hidden, m.intermediate, m.layers, m.heads, m.kv_heads, m.vocabulary,
      std::max(m.max_positions, job.batch.sequence), m.rope_theta, yaml_number(m.norm_epsilon),
      flag(m.tied_embeddings));
  out += fmt::format(
      "optimizer:\n  zero_stage: {}\n  accumulate_grad_in_fp32: {}\n  clip_grad: 1.0\n"
      "  weight_decay: 0.1\n  optimizer_factory: {{name: adamW, adam_beta1: 0.9, adam_beta2: 0.95, "
      "adam_eps: 1.0e-08, torch_adam_is_fused: true}}\n"
      "  learning_rate_scheduler: {{learning_rate: 0.00015, lr_warmup_steps: 10, lr_warmup_style: "
      "linear, lr_decay_style: cosine, min_decay_lr: 1.0e-05}}\n",
      p.zero, flag(p.gradient == DType::fp32));
  out += fmt::format(
      "tokens:\n  sequence_length: {}\n  train_steps: 100\n  micro_batch_size: {}\n"
      "  batch_accumulation_per_replica: {}\n",
      job.batch.sequence, p.micro_batch, job.batch.micro_batches(p));
  return out + "tokenizer: {tokenizer_name_or_path: null}  # where the data needs one\n";
}

}  // namespace nanotron

const TrainerFiles& nanotron_files() {
  static const TrainerFiles files = {
      .id = "nanotron",
      .name = "nanotron, run_train.py",
      .plans = "nanotron",
      .file = "nanotron.yaml",
      .versions = {{0, 4}},
      .knobs = {{"--tp", "parallelism.tp"},
                {"--sequence-parallel", "parallelism.tp_mode"},
                {"--pp", "parallelism.pp"},
                {"--schedule", "parallelism.pp_engine"},
                {"--cp", "parallelism.context_parallel_size"},
                {"--ep", "parallelism.expert_parallel_size"},
                {"--dp", "parallelism.dp"},
                {"--zero", "optimizer.zero_stage"},
                {"--micro-batch", "tokens.micro_batch_size"},
                {"--global-batch", "tokens.batch_accumulation_per_replica"},
                {"--seq", "tokens.sequence_length"},
                {"--recompute", "parallelism.recompute_layer"},
                {"--precision", "model.dtype"}},
      .rules = nanotron::rules(),
      .limits = {{"--layer-split", "stages take layers by their share of the products"},
                 {"--recompute", "whole layers are recomputed or none"},
                 {"--hsdp", "states are sharded over all data-parallel ranks"}},
      .write = nanotron::write,
      .start =
          [](const Job&, Version) {
            Start start;
            start.environment = {{"CUDA_DEVICE_MAX_CONNECTIONS", "1"}};
            start.program =
                "\"${NANOTRON:?path of a nanotron checkout}/run_train.py\" "
                "--config-file nanotron.yaml";
            start.needs = {
                "a checkout of huggingface/nanotron 0.4, its path in `NANOTRON`, in an "
                "environment with torch and flash-attn"};
            return start;
          },
      .read = nanotron::read};
  return files;
}

}  // namespace meshplan::launch
