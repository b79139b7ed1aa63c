// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/format/formats.hpp"
#include "strategies/launch/megatron_lm/files.hpp"

namespace meshplan::launch::megatron_lm {
namespace {

/// "([0]*3+[1]*58)", "[0,1,1]" or "2": which layers have experts.
Status read_expert_layers(const Settings& s, Model& m) {
  const std::string key = "--moe-layer-freq";
  const std::string text = s.text(key, "1");
  Moe& moe = *m.moe;
  if (text.find('[') == std::string::npos) {
    moe.every = s.integer(key, 1);
    return Done{};
  }
  std::vector<int> kinds;
  std::string flat;
  for (const char c : text)
    if (c != ' ' && c != '(' && c != ')' && c != '\'') flat += c;
  for (size_t at = 0; at < flat.size();) {
    const size_t open = flat.find('[', at), shut = flat.find(']', at);
    if (open == std::string::npos || shut == std::string::npos) break;
    std::vector<int> part;
    for (size_t i = open + 1; i < shut; ++i)
      if (flat[i] == '0' || flat[i] == '1') part.push_back(flat[i] - '0');
    int64_t times = 1;
    at = shut + 1;
    if (at < flat.size() && flat[at] == '*')
      times = std::atoll(flat.c_str() + at + 1);  // NOLINT: a number or 0
    for (int64_t i = 0; i < times && i < m.layers; ++i)
      kinds.insert(kinds.end(), part.begin(), part.end());
    at = std::min(flat.find('[', at), flat.size());
  }
  int64_t dense = 0;
  while (dense < static_cast<int64_t>(kinds.size()) && kinds[static_cast<size_t>(dense)] == 0)
    ++dense;
  moe.first_dense_layers = dense;
  for (const int64_t every : {1, 2, 3, 4}) {
    moe.every = every;
    bool equal = static_cast<int64_t>(kinds.size()) == m.layers;
    for (int64_t i = 0; i < m.layers && equal; ++i)
      equal = (kind_of(m, i) == LayerKind::moe) == (kinds[static_cast<size_t>(i)] == 1);
    if (equal) return Done{};
    moe.first_dense_layers = every == 1 ? 0 : moe.first_dense_layers;
  }
  return Diagnostic{ErrorKind::check, "a pattern of expert layers that meshplan cannot describe",
                    s.where(key), text};
}

Model read_model(Config& config) {
  const Settings& s = config.settings;
  Model m;
  m.layers = s.integer("--num-layers", s.integer("--encoder-num-layers", 0));
  m.hidden = s.integer("--hidden-size", 0);
  m.heads = s.integer("--num-attention-heads", 0);
  const bool swiglu = s.boolean("--swiglu", false);
  m.activation = swiglu                               ? ActivationType::swiglu
                 : s.boolean("--squared-relu", false) ? ActivationType::squared_relu
                                                      : ActivationType::gelu;
  m.intermediate =
      s.integer("--ffn-hidden-size", swiglu ? 4 * m.hidden * 2 / 3 / 64 * 64 : 4 * m.hidden);
  m.kv_heads =
      s.boolean("--group-query-attention", false) ? s.integer("--num-query-groups", 1) : m.heads;
  m.head_dim = s.integer("--kv-channels", m.heads > 0 ? m.hidden / m.heads : 0);
  m.vocabulary = s.integer("--vocab-size", s.integer("--padded-vocab-size", 0));
  m.max_positions = s.integer("--max-position-embeddings", 0);
  m.tied_embeddings = !s.boolean("--untie-embeddings-and-output-weights", false);
  m.norm = s.text("--normalization", "LayerNorm") == "RMSNorm" ? NormType::rms : NormType::layer;
  m.norm_bias = m.norm == NormType::layer;
  m.norm_epsilon = s.number("--norm-epsilon", s.number("--layernorm-epsilon", 1e-5));
  const bool biased = !s.boolean("--disable-bias-linear", false);
  m.attention_bias = biased || s.boolean("--add-qkv-bias", false);
  m.attention_output_bias = m.mlp_bias = biased;
  m.qk_norm = s.boolean("--qk-layernorm", false);
  const std::string positions = s.boolean("--use-rotary-position-embeddings", false)
                                    ? "rope"
                                    : s.text("--position-embedding-type", "learned_absolute");
  m.positions = positions == "learned_absolute" ? Positions::learned
                : positions == "none"           ? Positions::none
                                                : Positions::rope;
  if (m.positions == Positions::learned) m.position_rows = m.max_positions;
  m.rope_theta = s.number("--rotary-base", 10000);
  m.rotary_fraction = s.number("--rotary-percent", 1);
  if (s.boolean("--use-rope-scaling", false)) {
    m.rope_scaling = RopeScaling::llama3;
    m.rope_factor = s.number("--rope-scaling-factor", 8);
  }
  if (s.has("--window-size"))
    m.window = std::atoll(s.text("--window-size", "0").c_str());  // NOLINT
  if (s.boolean("--multi-latent-attention", false)) {
    Mla mla;
    mla.q_lora_rank = s.integer("--q-lora-rank", 0);
    mla.kv_lora_rank = s.integer("--kv-lora-rank", 32);
    mla.qk_nope_head_dim = s.integer("--qk-head-dim", 128);
    mla.qk_rope_head_dim = s.integer("--qk-pos-emb-head-dim", 64);
    mla.v_head_dim = s.integer("--v-head-dim", 128);
    m.kv_heads = m.heads;
    m.head_dim = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
    m.mla = mla;
  }
  if (s.has("--num-experts")) {
    Moe moe;
    moe.experts = s.integer("--num-experts", 1);
    moe.top_k = s.integer("--moe-router-topk", 2);
    moe.expert_intermediate = s.integer("--moe-ffn-hidden-size", m.intermediate);
    moe.latent = s.integer("--moe-latent-size", 0);
    moe.shared_intermediate = s.integer("--moe-shared-expert-intermediate-size", 0);
    moe.shared_experts = moe.shared_intermediate > 0 ? 1 : 0;
    moe.shared_gate = s.boolean("--moe-shared-expert-gate", false);
    moe.router = s.text("--moe-router-score-function", "softmax") == "sigmoid" ? Router::sigmoid
                                                                               : Router::softmax;
    moe.router_bias = s.boolean("--moe-router-enable-expert-bias", false);
    moe.normalise_top_k = !s.boolean("--moe-router-pre-softmax", false);
    moe.groups = s.integer("--moe-router-num-groups", 0);
    moe.groups_per_token = s.integer("--moe-router-group-topk", 0);
    m.moe = moe;
    const Status layers = read_expert_layers(s, m);
    if (!layers.ok()) config.findings.push_back(layers.error());
  }
  m.id = "megatron-model";
  m.name = fmt::format("model of {}", s.file());
  m.source = fmt::format("flags in {}", s.file());
  return m;
}

void read_stages(Config& config) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  const int64_t layers = config.job.model.layers;
  p.pp = static_cast<int>(s.integer("--pipeline-model-parallel-size", 1));
  if (p.pp < 1) return;
  const std::string layout = s.text("--pipeline-model-parallel-layout", "");
  if (!layout.empty()) {
    std::string problem;
    p.layer_split = layout_split(layout, problem);
    if (!problem.empty())
      config.findings.push_back({ErrorKind::check, problem,
                                 s.where("--pipeline-model-parallel-layout"), layout,
                                 "layout (megatron-lm)", ""});
    p.vpp = std::max<int>(1, static_cast<int>(p.layer_split.size()) / p.pp);
  } else if (s.has("--num-virtual-stages-per-pipeline-rank")) {
    p.vpp = static_cast<int>(s.integer("--num-virtual-stages-per-pipeline-rank", 1));
  } else if (s.has("--num-layers-per-virtual-pipeline-stage")) {
    const int64_t each = s.integer("--num-layers-per-virtual-pipeline-stage", 1);
    const int64_t counted = layers + s.boolean("--account-for-embedding-in-pipeline-split", false) +
                            s.boolean("--account-for-loss-in-pipeline-split", false);
    if (each > 0) p.vpp = static_cast<int>(std::max<int64_t>(1, counted / p.pp / each));
  }
  const bool first = s.boolean("--account-for-embedding-in-pipeline-split", false);
  const bool last = s.boolean("--account-for-loss-in-pipeline-split", false);
  const int64_t stages = int64_t{p.pp} * p.vpp;
  if (layout.empty() && (first || last))
    p.layer_split = split_with_ends(layers, stages, first, last);
  const char* ends[] = {"--decoder-first-pipeline-num-layers",
                        "--decoder-last-pipeline-num-layers"};
  if (layout.empty() && p.vpp == 1 && p.pp > 1 && (s.has(ends[0]) || s.has(ends[1]))) {
    const int64_t head = s.integer(ends[0], 0), tail = s.integer(ends[1], 0);
    const int64_t middle = p.pp - (head > 0) - (tail > 0);
    const int64_t rest = layers - head - tail;
    if (middle > 0 && rest % middle == 0) {
      p.layer_split.assign(static_cast<size_t>(p.pp), static_cast<int>(rest / middle));
      if (head > 0) p.layer_split.front() = static_cast<int>(head);
      if (tail > 0) p.layer_split.back() = static_cast<int>(tail);
    }
  }
  p.schedule = p.vpp > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
  p.schedule_group =
      static_cast<int>(s.integer("--microbatch-group-size-per-virtual-pipeline-stage", 0));
}

void read_states(Config& config) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  p.zero = s.boolean("--use-distributed-optimizer", false) ? 1 : 0;
  if (s.boolean("--use-megatron-fsdp", false) || s.boolean("--use-custom-fsdp", false)) {
    const std::string strategy = s.text("--data-parallel-sharding-strategy", "no_shard");
    p.zero = strategy == "optim_grads_params" ? 3
             : strategy == "optim_grads"      ? 2
             : strategy == "optim"            ? 1
                                              : 0;
  }
  if (s.boolean("--use-torch-fsdp2", false)) p.zero = 3;
  set_data_parallel(config, s.integer("--num-distributed-optimizer-instances", 1));
  p.optimizer_offload = s.boolean("--optimizer-cpu-offload", false);
}

void read_formats(Config& config) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  p.compute = s.has("--fp4-format")        ? DType::fp4
              : s.has("--fp8-format")      ? DType::fp8
              : s.boolean("--bf16", false) ? DType::bf16
              : s.boolean("--fp16", false) ? DType::fp16
                                           : DType::fp32;
  p.gradient = DType::fp32;
  if (s.boolean("--grad-reduce-in-bf16", false) && p.compute != DType::fp16)
    p.gradient = DType::bf16;
  if (p.compute == DType::fp16 && !s.boolean("--accumulate-allreduce-grads-in-fp32", false))
    p.gradient = DType::fp16;
}

void read_recompute(Config& config) {
  const Settings& s = config.settings;
  Plan& p = config.job.plan;
  std::string kind = s.text("--recompute-granularity", "");
  if (s.boolean("--recompute-activations", false)) kind = "selective";
  if (kind == "full") {
    p.recompute = Recompute::full;
    if (s.text("--recompute-method", "") == "block")
      p.recompute_layers = static_cast<int>(s.integer("--recompute-num-layers", -1));
  } else if (kind == "selective") {
    p.recompute = Recompute::selective;
    std::vector<std::string> names = s.texts("--recompute-modules");
    if (names.empty()) names = {"core_attn"};
    for (const auto& name : names) {
      const uint32_t modules = modules_named(name);
      p.recompute_modules |= modules;
      if (modules == 0)
        config.notes.push_back(fmt::format(
            "{}: '{}' is recomputed by the trainer and not in the plan, which has no such part",
            s.where("--recompute-modules"), name));
    }
  }
}

}  // namespace

Result<Config> read(const std::string& text, const std::string& name, const Given& given, Version) {
  Config config;
  MESHPLAN_TRY(config.settings, read_shell(text, name));
  const Settings& s = config.settings;
  const int64_t nodes = s.integer("launcher.nnodes", s.integer("launcher.nodes", 1));
  const int64_t each =
      s.integer("launcher.nproc-per-node",
                s.integer("launcher.gpus-per-node", s.integer("launcher.ntasks-per-node", 0)));
  set_machine(config, nodes, each, given);
  Model model = read_model(config);
  if (model.vocabulary == 0 && given.model) model.vocabulary = given.model->vocabulary;
  const bool whole = model.layers > 0 && model.hidden > 0 && model.heads > 0;
  if (!whole || model.vocabulary == 0)
    config.unknown.emplace_back(whole ? "the vocabulary (--model)" : "the model (--model)");
  if (whole && model.vocabulary > 0) adopt_model(config, std::move(model), given);
  set_sequence(config, s.integer("--seq-length", s.integer("--encoder-seq-length", 0)), given);

  Plan& p = config.job.plan;
  p.tp = static_cast<int>(s.integer("--tensor-model-parallel-size", 1));
  p.sequence_parallel = s.boolean("--sequence-parallel", false);
  p.cp = static_cast<int>(s.integer("--context-parallel-size", 1));
  const std::string kind = s.text("--cp-comm-type", "p2p");
  p.cp_kind = kind == "all_gather" || kind == "allgather" ? ContextParallel::all_gather
              : kind.rfind("a2a", 0) == 0                 ? ContextParallel::all_to_all
                                                          : ContextParallel::ring;
  p.ep = static_cast<int>(s.integer("--expert-model-parallel-size", 1));
  p.etp = static_cast<int>(
      s.integer("--expert-tensor-parallel-size", s.has("--num-experts") ? p.tp : 1));
  read_stages(config);
  read_states(config);
  read_formats(config);
  read_recompute(config);
  p.micro_batch = static_cast<int>(s.integer("--micro-batch-size", 0));
  if (p.micro_batch == 0) p.micro_batch = std::max(1, given.micro_batch);
  const int64_t one_each = int64_t{p.micro_batch} * p.dp();
  set_global_batch(config, s.integer("--global-batch-size", one_each), given);
  if (s.boolean("--use-tp-pp-dp-mapping", false)) config.job.trainer.rank_order = "tp-cp-ep-pp-dp";
  MESHPLAN_CHECK(read_mechanisms(config));
  return config;
}

}  // namespace meshplan::launch::megatron_lm
