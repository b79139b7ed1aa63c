// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/megatron_lm/files.hpp"
#include "strategies/launch/trainers.hpp"
#include "strategies/program/lower.hpp"

namespace meshplan::launch {
namespace megatron_lm {
namespace {

class Flags {
 public:
  void group(const char* what) { text_ += fmt::format("  # {}\n ", what); }
  template <class... Values>
  void add(const char* flag, const Values&... values) {
    text_ += fmt::format(" {}", flag);
    ((text_ += fmt::format(" {}", values)), ...);
  }
  void line() { text_ += "\n "; }
  void end() { text_ += "\n"; }
  void when(bool condition, const char* flag) {
    if (condition) add(flag);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

bool any_bias(const Model& m) { return m.attention_bias || m.attention_output_bias || m.mlp_bias; }

/// Flags of switches that stand otherwise than without the flag.
void say_switches(const Job& job, const std::vector<Switch>& switches, Flags& f) {
  for (const Switch& each : switches)
    if (each.matters == nullptr || each.matters(job))
      f.when(job.trainer.*each.member == each.on, each.name);
}

void say_model(const Job& job, Flags& f) {
  const Model& m = job.model;
  const Batch& batch = job.batch;
  f.group("model");
  f.add("--num-layers", m.layers);
  f.add("--hidden-size", m.hidden);
  const bool dense = layers_of(m, LayerKind::dense) > 0;
  f.add("--ffn-hidden-size", dense ? m.intermediate : m.moe->expert_intermediate);
  f.add("--num-attention-heads", m.heads);
  if (!m.mla) {
    if (m.kv_heads != m.heads) {
      f.add("--group-query-attention");
      f.add("--num-query-groups", m.kv_heads);
    }
    f.add("--kv-channels", m.head_dim);
  }
  f.line();
  f.add("--seq-length", batch.sequence);
  f.add("--max-position-embeddings", std::max({batch.sequence, m.max_positions, m.position_rows}));
  f.add("--position-embedding-type", m.positions == Positions::rope      ? "rope"
                                     : m.positions == Positions::learned ? "learned_absolute"
                                                                         : "none");
  if (m.positions == Positions::rope) {
    f.add("--rotary-base", static_cast<int64_t>(m.rope_theta));
    f.add("--rotary-percent", m.rotary_fraction);
    if (m.rope_scaling == RopeScaling::llama3) {
      f.add("--use-rope-scaling");
      f.add("--rope-scaling-factor", m.rope_factor);
    }
  }
  f.line();
  f.add("--normalization", m.norm == NormType::rms ? "RMSNorm" : "LayerNorm");
  f.add("--norm-epsilon", m.norm_epsilon);
  f.when(m.activation == ActivationType::swiglu, "--swiglu");
  f.when(m.activation == ActivationType::squared_relu, "--squared-relu");
  f.when(!any_bias(m) || !m.mlp_bias, "--disable-bias-linear");
  f.when(m.attention_bias && !m.mlp_bias, "--add-qkv-bias");
  f.when(m.qk_norm, "--qk-layernorm");
  f.when(!m.tied_embeddings, "--untie-embeddings-and-output-weights");
  if (m.window > 0) f.add("--window-size", fmt::format("'{},0'", m.window));
  const char* dropout = job.trainer.dropout ? "0.1" : "0.0";
  f.add("--attention-dropout", dropout);
  f.add("--hidden-dropout", dropout);
  f.end();
  if (m.mla) {
    f.group("latent attention");
    f.add("--multi-latent-attention");
    if (m.mla->q_lora_rank > 0) f.add("--q-lora-rank", m.mla->q_lora_rank);
    f.add("--kv-lora-rank", m.mla->kv_lora_rank);
    f.add("--qk-head-dim", m.mla->qk_nope_head_dim);
    f.add("--qk-pos-emb-head-dim", m.mla->qk_rope_head_dim);
    f.add("--v-head-dim", m.mla->v_head_dim);
    f.add("--rope-type", "rope");
    f.add("--no-rope-fusion");  // the fused kernel knows YaRN only
    f.end();
  }
  if (!m.moe || layers_of(m, LayerKind::moe) == 0) return;
  const Moe& moe = *m.moe;
  f.group("experts");
  f.add("--num-experts", moe.experts);
  f.add("--moe-router-topk", moe.top_k);
  f.add("--moe-ffn-hidden-size", moe.expert_intermediate);
  if (moe.latent > 0) f.add("--moe-latent-size", moe.latent);
  f.add("--moe-token-dispatcher-type", job.trainer.ep_sends_once ? "flex" : "alltoall");
  if (job.trainer.ep_sends_once) f.add("--moe-flex-dispatcher-backend", "deepep");
  f.add("--moe-grouped-gemm");
  if (dense) {
    std::vector<int> kinds;
    for (int64_t i = 0; i < m.layers; ++i) kinds.push_back(kind_of(m, i) == LayerKind::moe);
    if (moe.every == 1)
      f.add("--moe-layer-freq", fmt::format("'([0]*{}+[1]*{})'", moe.first_dense_layers,
                                            m.layers - moe.first_dense_layers));
    else
      f.add("--moe-layer-freq", fmt::format("'[{}]'", fmt::join(kinds, ",")));
  }
  f.line();
  f.add("--moe-router-score-function", moe.router == Router::sigmoid ? "sigmoid" : "softmax");
  f.when(moe.router == Router::sigmoid && moe.router_bias, "--moe-router-enable-expert-bias");
  f.when(moe.router == Router::softmax && !moe.normalise_top_k, "--moe-router-pre-softmax");
  f.add("--moe-router-load-balancing-type",
        moe.router == Router::sigmoid ? "seq_aux_loss" : "aux_loss");
  f.add("--moe-aux-loss-coeff", moe.router == Router::sigmoid ? "1e-4" : "1e-2");
  if (moe.groups > 0) {
    f.add("--moe-router-num-groups", moe.groups);
    f.add("--moe-router-group-topk", moe.groups_per_token);
  }
  if (moe.shared_intermediate > 0)
    f.add("--moe-shared-expert-intermediate-size", moe.shared_intermediate);
  f.when(moe.shared_gate, "--moe-shared-expert-gate");
  f.end();
}

Status say_stages(const Job& job, Flags& f) {
  const Plan& p = job.plan;
  f.add("--pipeline-model-parallel-size", p.pp);
  if (p.pp == 1) return Done{};
  MESHPLAN_TRY(const std::vector<int> split, layers_per_virtual_stage(job.model, p));
  const bool even =
      std::all_of(split.begin(), split.end(), [&](int layers) { return layers == split.front(); });
  if (!even)
    f.add("--pipeline-model-parallel-layout", fmt::format("'{}'", layout_text(split)));
  else if (p.vpp > 1)
    f.add("--num-virtual-stages-per-pipeline-rank", p.vpp);
  if (p.vpp > 1 && p.schedule_group > 0)
    f.add("--microbatch-group-size-per-virtual-pipeline-stage", p.schedule_group);
  return Done{};
}

void say_states(const Job& job, Flags& f) {
  const Plan& p = job.plan;
  f.group("data parallelism");
  if (p.zero >= 2) {
    f.add("--use-megatron-fsdp");
    f.add("--data-parallel-sharding-strategy", p.zero == 2 ? "optim_grads" : "optim_grads_params");
    f.add("--ckpt-format", "fsdp_dtensor");
    f.add("--init-model-with-meta-device");
    f.add("--no-gradient-accumulation-fusion");
    if (p.dp_replicate > 1) f.add("--outer-dp-sharding-strategy", "no_shard");
  }
  f.when(p.zero >= 1, "--use-distributed-optimizer");
  if (p.zero >= 1 && p.dp_replicate > 1)
    f.add("--num-distributed-optimizer-instances", p.dp_replicate);
  say_switches(job, data_switches(), f);
  if (p.compute != DType::fp32)
    f.add(p.gradient == DType::bf16   ? "--grad-reduce-in-bf16"
          : p.gradient == DType::fp32 ? "--accumulate-allreduce-grads-in-fp32"
                                      : "");
  if (p.optimizer_offload) {
    f.add("--optimizer-cpu-offload");
    f.add("--overlap-cpu-optimizer-d2h-h2d");
  }
  const char* moment = name_of(job.trainer.optimizer_moment);
  const bool narrow = job.trainer.optimizer_moment != DType::fp32;
  f.when(p.optimizer_offload || narrow, "--use-precision-aware-optimizer");
  if (narrow) {
    f.add("--exp-avg-dtype", moment);
    f.add("--exp-avg-sq-dtype", moment);
  }
  f.end();
}

void say_recompute(const Plan& p, Flags& f) {
  if (p.recompute == Recompute::none) return;
  f.group("recompute");
  f.add("--recompute-granularity", p.recompute == Recompute::full ? "full" : "selective");
  if (p.recompute == Recompute::full) {
    const bool all = p.recompute_layers < 0;
    f.add("--recompute-method", all ? "uniform" : "block");
    f.add("--recompute-num-layers", all ? 1 : p.recompute_layers);
  } else {
    f.add("--recompute-modules");
    for (const auto& name : module_names(p.recompute_modules)) f.add(name.c_str());
  }
  f.end();
}

}  // namespace

std::string cannot_say(const Model& m) {
  if (m.sublayers > 0) return "hybrids of state-space layers";
  if (m.positions == Positions::alibi) return "ALiBi positions";
  if (m.parallel_residual) return "attention and MLP side by side";
  if (m.norms_per_layer != 2) return "norms behind attention and MLP";
  if (m.embedding_norm) return "a norm behind the embedding";
  if (m.lm_head_bias) return "a bias of the head";
  if (m.attention_sinks) return "attention sinks";
  if (m.full_attention_every > 0) return "windows in some layers only";
  if (m.activation != ActivationType::swiglu && m.activation != ActivationType::gelu &&
      m.activation != ActivationType::squared_relu)
    return "this activation";
  if (any_bias(m) && m.mlp_bias != m.attention_output_bias) return "biases in some products only";
  if (m.norm == NormType::layer && !m.norm_bias) return "LayerNorm without a bias";
  return "";
}

Result<std::string> write(const Job& job, Version) {
  const Plan& p = job.plan;
  if (const std::string what = cannot_say(job.model); !what.empty())
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = "Megatron-LM's flags have no words for " + what,
                      .where = "model",
                      .value = job.model.id};
  Flags f;
  say_model(job, f);
  f.group("parallelism");
  f.add("--tensor-model-parallel-size", p.tp);
  f.when(p.tp > 1 && p.sequence_parallel, "--sequence-parallel");
  f.when(p.tp > 1 && p.sequence_parallel && job.trainer.tp_overlap != TpOverlap::none,
         "--tp-comm-overlap");
  MESHPLAN_CHECK(say_stages(job, f));
  f.line();
  f.add("--context-parallel-size", p.cp);
  if (p.cp > 1)
    f.add("--cp-comm-type", p.cp_kind == ContextParallel::ring         ? "p2p"
                            : p.cp_kind == ContextParallel::all_gather ? "all_gather"
                                                                       : "a2a");
  if (job.model.moe) {
    f.add("--expert-model-parallel-size", p.ep);
    f.add("--expert-tensor-parallel-size", p.etp);
  }
  f.end();
  say_states(job, f);
  f.group("batch");
  f.add("--micro-batch-size", p.micro_batch);
  f.add("--global-batch-size", job.batch.global_sequences);
  f.end();
  say_recompute(p, f);
  f.group("number formats and kernels");
  f.when(p.compute == DType::fp16, "--fp16");
  f.when(p.compute != DType::fp16 && p.compute != DType::fp32, "--bf16");
  if (p.compute == DType::fp8) {
    f.add("--fp8-format", "hybrid");
    f.add("--fp8-recipe", job.trainer.dynamic_scaling ? "tensorwise" : "delayed");
  }
  if (p.compute == DType::fp4) f.add("--fp4-format", "e2m1");
  f.add("--transformer-impl", "transformer_engine");
  f.add("--attention-backend",
        job.trainer.attention == AttentionKernel::materialised ? "unfused" : "auto");
  if (job.trainer.fused_cross_entropy) {
    f.add("--cross-entropy-loss-fusion");
    f.add("--cross-entropy-fusion-impl", "native");
  }
  say_switches(job, kernel_switches(), f);
  f.end();
  f.group("a run without data; put --data-path and a tokenizer in their place");
  f.add("--mock-data");
  f.add("--tokenizer-type", "NullTokenizer");
  f.add("--vocab-size", job.model.vocabulary);
  f.add("--eval-iters", 0);
  f.line();
  f.add("--train-iters", 100);
  f.add("--lr", "1.5e-4");
  f.add("--min-lr", "1e-5");
  f.add("--lr-decay-style", "cosine");
  f.add("--lr-warmup-iters", 10);
  f.add("--log-interval", 1);
  f.add("--log-throughput");
  f.end();
  std::string out = "# Flags of pretrain_gpt.py; read by torchrun.sh\n";
  if ((p.tp > 1 || p.cp > 1) && job.compute_capability < 10 && p.zero < 2)
    out += "export CUDA_DEVICE_MAX_CONNECTIONS=1\n";
  return out + "ARGS=(\n" + f.text() + ")\n";
}

}  // namespace megatron_lm

const TrainerFiles& megatron_lm_files() {
  static const TrainerFiles files = {
      .id = "megatron-lm",
      .name = "Megatron-LM, pretrain_gpt.py",
      .plans = "megatron-lm",
      .file = "flags.sh",
      .versions = {{0, 20}, {0, 19}},
      .knobs = {{"--tp", "--tensor-model-parallel-size"},
                {"--sequence-parallel", "--sequence-parallel"},
                {"--pp", "--pipeline-model-parallel-size"},
                {"--vpp", "--num-virtual-stages-per-pipeline-rank"},
                {"--schedule-group", "--microbatch-group-size-per-virtual-pipeline-stage"},
                {"--layer-split", "--pipeline-model-parallel-layout"},
                {"--cp", "--context-parallel-size"},
                {"--cp-kind", "--cp-comm-type"},
                {"--ep", "--expert-model-parallel-size"},
                {"--etp", "--expert-tensor-parallel-size"},
                {"--hsdp", "--num-distributed-optimizer-instances"},
                {"--zero", "--data-parallel-sharding-strategy"},
                {"--micro-batch", "--micro-batch-size"},
                {"--global-batch", "--global-batch-size"},
                {"--seq", "--seq-length"},
                {"--recompute", "--recompute-modules"},
                {"--precision", "--fp8-format"},
                {"--offload-optimizer", "--optimizer-cpu-offload"}},
      .rules = megatron_lm::rules(),
      .limits = {{"--reshard", "Megatron-FSDP gathers weights again for the backward pass"}},
      .write = megatron_lm::write,
      .start =
          [](const Job& job, Version) {
            Start start;
            start.source = "flags.sh";
            if (job.plan.zero >= 2) start.unset = {"CUDA_DEVICE_MAX_CONNECTIONS"};
            start.program =
                "\"${MEGATRON:?path of a Megatron-LM checkout}/pretrain_gpt.py\" "
                "\"${ARGS[@]}\"";
            start.needs = {
                "a checkout of NVIDIA/Megatron-LM, its path in `MEGATRON`, in an environment with "
                "torch, Transformer Engine and (optional) Apex"};
            return start;
          },
      .read = megatron_lm::read};
  return files;
}

}  // namespace meshplan::launch
