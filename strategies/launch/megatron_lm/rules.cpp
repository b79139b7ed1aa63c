// SPDX-License-Identifier: Apache-2.0
// What Megatron-LM asks of its flags beyond what a plan may be (training/arguments.py:
// validate_args; core/transformer/transformer_config.py).
#include <fmt/format.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/megatron_lm/files.hpp"

namespace meshplan::launch::megatron_lm {
namespace {

constexpr const char* kLayers = "--num-layers-per-virtual-pipeline-stage";
constexpr const char* kStages = "--num-virtual-stages-per-pipeline-rank";
constexpr const char* kLayout = "--pipeline-model-parallel-layout";
constexpr const char* kConnections = "env.CUDA_DEVICE_MAX_CONNECTIONS";

bool fsdp(const Settings& s) {
  return s.boolean("--use-megatron-fsdp", false) || s.boolean("--use-torch-fsdp2", false);
}

void required(const Config& c, Report& r) {
  const std::pair<const char*, const char*> needed[] = {
      {"--num-layers", "the number of layers"},
      {"--hidden-size", "the width of the model"},
      {"--num-attention-heads", "the number of heads"},
      {"--max-position-embeddings", "at least --seq-length"},
      {"--micro-batch-size", "1"}};
  for (const auto& [key, what] : needed)
    if (!c.settings.has(key)) r.add(key, "a required flag is missing", what);
}

void one_split(const Config& c, Report& r) {
  int given = 0;
  const char* last = kStages;
  for (const char* key : {kLayers, kStages, kLayout})
    if (c.settings.has(key)) {
      ++given;
      last = key;
    }
  if (given > 1)
    r.add(last, "the virtual stages are said more than once",
          fmt::format("one of {}, {}, {}", kLayers, kStages, kLayout));
}

void layout_by_pp(const Config& c, Report& r) {
  if (!c.settings.has(kLayout)) return;
  std::string problem;
  const auto split = layout_split(c.settings.text(kLayout, ""), problem);
  const int64_t pp = c.settings.integer("--pipeline-model-parallel-size", 1);
  if (problem.empty() && pp > 0 && split.size() % static_cast<size_t>(pp) != 0)
    r.add(kLayout,
          fmt::format("{} stages in the layout are no multiple of pp {}", split.size(), pp),
          nearest_multiples(pp, static_cast<int64_t>(split.size())) + " stages");
}

void layers_by_pp(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.has(kLayout) || s.has(kStages) || s.has("--decoder-first-pipeline-num-layers") ||
      s.has("--decoder-last-pipeline-num-layers"))
    return;
  const int64_t pp = s.integer("--pipeline-model-parallel-size", 1);
  const int64_t layers = s.integer("--num-layers", 0) +
                         s.boolean("--account-for-embedding-in-pipeline-split", false) +
                         s.boolean("--account-for-loss-in-pipeline-split", false);
  if (pp < 1 || layers < 1) return;
  if (layers % pp != 0) {
    r.add("--pipeline-model-parallel-size", fmt::format("{} layers cannot be cut by pp", layers),
          nearest_divisors(layers, pp));
    return;
  }
  const int64_t each = s.integer(kLayers, 1);
  if (s.has(kLayers) && each > 0 && layers / pp % each != 0)
    r.add(kLayers, fmt::format("{} layers a stage cannot be cut into chunks of these", layers / pp),
          nearest_divisors(layers / pp, each));
}

void chunks_need_pp(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const int64_t pp = s.integer("--pipeline-model-parallel-size", 1);
  const int64_t least = s.boolean("--no-overlap-p2p-communication", false) ? 3 : 2;
  if (c.job.plan.vpp > 1 && pp < least)
    r.add("--pipeline-model-parallel-size",
          least == 3 ? "virtual stages without overlapped transfers need more than two stages"
                     : "virtual stages need pipeline stages",
          fmt::format("{}", least));
}

void gather_needs_shards(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (!s.boolean("--overlap-param-gather", false)) return;
  if (!s.boolean("--use-distributed-optimizer", false) && !s.boolean("--use-megatron-fsdp", false))
    r.add("--overlap-param-gather", "there is no sharded optimizer whose weights are gathered",
          "--use-distributed-optimizer");
  if (!s.boolean("--overlap-grad-reduce", false))
    r.add("--overlap-param-gather", "it is only done together with --overlap-grad-reduce",
          "--overlap-grad-reduce");
}

void overlap_needs_sp(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const bool off =
      !s.boolean("--sequence-parallel", false) || s.integer("--tensor-model-parallel-size", 1) == 1;
  if (s.boolean("--tp-comm-overlap", false) && off)
    r.add("--tp-comm-overlap", "overlap of tensor parallelism needs sequence parallelism at tp > 1",
          "--sequence-parallel, or leave it out");
}

void sp_at_tp_1(const Config& c, Report& r) {
  if (c.settings.boolean("--sequence-parallel", false) &&
      c.settings.integer("--tensor-model-parallel-size", 1) == 1)
    r.add("--sequence-parallel", "it is switched off at tp 1", "leave it out, or tp 2");
}

void connections(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const bool needs = s.integer("--tensor-model-parallel-size", 1) > 1 ||
                     s.integer("--context-parallel-size", 1) > 1;
  if (fsdp(s) || !needs || c.job.compute_capability >= 10) return;
  if (s.integer(kConnections, 0) != 1)
    r.add(kConnections, "tensor and context parallelism before Blackwell need one hardware queue",
          "1");
}

void connections_fsdp(const Config& c, Report& r) {
  if (fsdp(c.settings) && c.settings.integer(kConnections, 0) == 1)
    r.add(kConnections, "sharded weights are gathered on a queue of their own",
          "unset, or more than 1");
}

void fsdp_checkpoint(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const bool ours = s.text("--ckpt-format", "torch_dist") == "fsdp_dtensor";
  if (s.boolean("--use-megatron-fsdp", false) && !ours)
    r.add("--ckpt-format", "Megatron-FSDP has a checkpoint format of its own", "fsdp_dtensor");
  if (!s.boolean("--use-megatron-fsdp", false) && ours)
    r.add("--ckpt-format", "this format is Megatron-FSDP's", "torch_dist");
}

void torch_fsdp(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (!s.boolean("--use-torch-fsdp2", false)) return;
  if (s.integer("--pipeline-model-parallel-size", 1) > 1)
    r.add("--pipeline-model-parallel-size", "FSDP2 goes without pipeline stages here", "1");
  if (s.integer("--expert-model-parallel-size", 1) > 1)
    r.add("--expert-model-parallel-size", "FSDP2 goes without expert parallelism here", "1");
  if (s.boolean("--use-distributed-optimizer", false))
    r.add("--use-distributed-optimizer", "FSDP2 shards the optimizer itself", "leave it out");
  if (!s.boolean("--untie-embeddings-and-output-weights", false))
    r.add("--untie-embeddings-and-output-weights", "FSDP2 needs untied embeddings",
          "--untie-embeddings-and-output-weights");
}

void outer_shards(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.text("--outer-dp-sharding-strategy", "no_shard") == "optim" &&
      s.text("--data-parallel-sharding-strategy", "no_shard") != "optim_grads_params")
    r.add("--outer-dp-sharding-strategy",
          "copies share the optimizer only if all is sharded inside", "no_shard");
}

void recompute(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const std::string kind = s.text("--recompute-granularity", "");
  if (kind == "selective" && s.has("--recompute-method"))
    r.add("--recompute-method", "selective recompute has no method", "leave it out");
  if (kind == "full" && !s.has("--recompute-method"))
    r.add("--recompute-method", "full recompute needs a method", "uniform or block");
  if (kind == "full" && !s.has("--recompute-num-layers"))
    r.add("--recompute-num-layers", "full recompute needs a number of layers", "1");
}

void recompute_words(const Config& c, Report& r) {
  const Settings& s = c.settings;
  const std::vector<std::string> known = {
      "core_attn",      "moe_act",      "layernorm",   "mla_up_proj", "mlp", "moe",
      "shared_experts", "gdn_norm_out", "gdp_in_proj", "gdp_qkv",     "mhc"};
  if (s.text("--recompute-granularity", "") != "selective") return;
  for (const auto& word : s.texts("--recompute-modules")) {
    if (std::find(known.begin(), known.end(), word) == known.end())
      r.add("--recompute-modules", "there is no such module", "core_attn, layernorm, mlp, moe",
            word);
    if (word == "moe_act" && !s.boolean("--moe-grouped-gemm", false))
      r.add("--recompute-modules", "moe_act needs --moe-grouped-gemm", "--moe-grouped-gemm", word);
    if (word == "mla_up_proj" && !s.boolean("--multi-latent-attention", false))
      r.add("--recompute-modules", "mla_up_proj needs latent attention", "leave it out", word);
    if ((word == "moe_act" || word == "layernorm") && s.has("--fp8-format") &&
        s.text("--fp8-recipe", "delayed") == "delayed")
      r.add("--recompute-modules", "delayed fp8 scaling cannot recompute this",
            "--fp8-recipe tensorwise", word);
  }
}

void formats(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.boolean("--bf16", false) && s.boolean("--fp16", false))
    r.add("--fp16", "two number formats are asked for", "--bf16 alone");
  if (s.has("--fp8-format") && s.has("--fp4-format"))
    r.add("--fp4-format", "fp8 and fp4 exclude each other", "one of them");
}

void fp8_gather(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.boolean("--fp8-param-gather", false) && !s.boolean("--use-distributed-optimizer", false) &&
      !fsdp(s))
    r.add("--fp8-param-gather", "only sharded weights are gathered", "--use-distributed-optimizer");
}

void experts(const Config& c, Report& r) {
  if (c.settings.integer("--expert-model-parallel-size", 1) > 1 && !c.settings.has("--num-experts"))
    r.add("--expert-model-parallel-size", "the model has no experts", "1");
}

void positions(const Config& c, Report& r) {
  const int64_t sequence = c.settings.integer("--seq-length", 0);
  const int64_t most = c.settings.integer("--max-position-embeddings", 0);
  if (most > 0 && sequence > most)
    r.add("--max-position-embeddings", "the sequence is longer than there are positions",
          fmt::format("{}", sequence));
}

void one_batch(const Config& c, Report& r) {
  if (c.settings.has("--step-batch-size-schedule") && c.settings.has("--global-batch-size"))
    r.add("--step-batch-size-schedule", "the batch is said twice: as a schedule and as a number",
          "--global-batch-size alone");
}

void iterations(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.has("--train-iters") && s.has("--train-samples"))
    r.add("--train-samples", "steps and samples both say how long to train", "one of them");
  if (s.has("--train-iters") && s.has("--lr-decay-samples"))
    r.add("--lr-decay-samples", "the rate decays in samples, training counts steps",
          "--lr-decay-iters");
  if (s.has("--train-samples") && s.has("--lr-decay-iters"))
    r.add("--lr-decay-iters", "the rate decays in steps, training counts samples",
          "--lr-decay-samples");
}

}  // namespace

std::vector<ConfigRule> rules() {
  return {
      {"required-flags", "layers, width, heads, positions and micro-batch are given", required},
      {"one-split", "virtual stages are said in one way", one_split},
      {"layout-by-pp", "pp divides the stages of a layout", layout_by_pp},
      {"layers-by-pp", "pp divides the layers, and chunks the layers of a stage", layers_by_pp},
      {"chunks-need-pp", "virtual stages need pp > 1, pp > 2 without overlapped transfers",
       chunks_need_pp},
      {"gather-needs-shards",
       "overlapped gathers need a sharded optimizer and overlapped "
       "reductions",
       gather_needs_shards},
      {"overlap-needs-sp", "--tp-comm-overlap needs sequence parallelism", overlap_needs_sp},
      {"sp-at-tp-1", "sequence parallelism means nothing at tp 1", sp_at_tp_1, false},
      {"connections", "CUDA_DEVICE_MAX_CONNECTIONS is 1 with tp or cp before Blackwell",
       connections},
      {"connections-fsdp", "CUDA_DEVICE_MAX_CONNECTIONS is not 1 with FSDP", connections_fsdp},
      {"fsdp-checkpoint", "Megatron-FSDP and its checkpoint format go together", fsdp_checkpoint},
      {"torch-fsdp", "FSDP2 goes without pp, ep, distributed optimizer and tied embeddings",
       torch_fsdp},
      {"outer-shards", "an optimizer over copies needs full sharding inside", outer_shards, false},
      {"recompute-method", "full recompute has a method and a number of layers, selective none",
       recompute},
      {"recompute-words", "modules exist and go with the model and the number format",
       recompute_words},
      {"one-format", "one 16-bit format, and one below it", formats},
      {"fp8-gather", "--fp8-param-gather needs sharded weights", fp8_gather},
      {"experts-for-ep", "expert parallelism needs experts", experts},
      {"positions", "the sequence fits into the positions", positions},
      {"one-batch", "the batch is a number or a schedule", one_batch, true, {0, 20}},
      {"steps-or-samples", "training and its rate are counted in the same unit", iterations},
  };
}

}  // namespace meshplan::launch::megatron_lm
