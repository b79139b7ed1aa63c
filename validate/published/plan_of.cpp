// SPDX-License-Identifier: Apache-2.0
#include "validate/published/plan_of.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "strategies/program/lower.hpp"

namespace meshplan {
namespace {

constexpr int kMostCandidates = 6;  ///< of one open column

struct Degrees {
  int64_t tp, pp, cp, dp;
};

/// Degrees of the mesh from what is stated; the last unknown one follows from the others.
Result<Degrees> degrees_of(QuestionRow& row, int64_t gpus, const Question& question,
                           std::vector<std::string>& chosen) {
  auto tp = row.degree("tp"), pp = row.degree("pp"), cp = row.degree("cp"), dp = row.degree("dp");
  MESHPLAN_CHECK(row.finish());
  if (!cp) {
    cp = 1;
    chosen.emplace_back("cp: not stated; 1");
  }
  const bool data_parallel_only = !question.trainer.tensor_parallel || gpus == 1;
  if (!pp && tp && dp && gpus % (*tp * *cp * *dp) == 0) {
    pp = gpus / (*tp * *cp * *dp);
    chosen.push_back(fmt::format("pp: not stated; the other degrees leave {}", *pp));
  }
  if (!tp && pp && dp && gpus % (*pp * *cp * *dp) == 0) {
    tp = gpus / (*pp * *cp * *dp);
    chosen.push_back(fmt::format("tp: not stated; the other degrees leave {}", *tp));
  }
  if (!pp && (data_parallel_only || !question.trainer.pipeline_parallel)) {
    pp = 1;
    chosen.emplace_back("pp: not stated; 1");
  }
  if (!tp && data_parallel_only) {
    tp = 1;
    chosen.emplace_back("tp: not stated; 1");
  }
  if (!tp || !pp)
    return Diagnostic{ErrorKind::input,
                      "the row does not state the degrees of parallelism",
                      row.where(tp ? "pp" : "tp"),
                      "",
                      kStatesTooLittle,
                      "tp, pp and the number of GPUs"};
  const int64_t model_parallel = *tp * *pp * *cp;
  if (gpus % model_parallel != 0)
    return Diagnostic{ErrorKind::input, "tp * pp * cp does not divide the GPUs", row.where("gpus"),
                      fmt::format("{} / ({} * {} * {})", gpus, *tp, *pp, *cp), "world"};
  const int64_t left = gpus / model_parallel;
  if (dp && *dp != left)
    chosen.push_back(fmt::format("dp: {} is stated, but {} GPUs leave {}", *dp, gpus, left));
  return Degrees{*tp, *pp, *cp, left};
}

Status batch_of(QuestionRow& row, const TrainerDefaults& defaults, const Degrees& degrees,
                Question& question, std::vector<int64_t>& micro) {
  const int64_t dp = degrees.dp;
  const auto sequence = row.count("seq_len");
  const auto stated = row.count("micro_batch");
  auto global = row.count("global_batch_seqs");
  MESHPLAN_CHECK(row.finish());
  auto& chosen = question.chosen;
  if (!sequence)
    return Diagnostic{ErrorKind::input, "the row does not state the sequence length",
                      row.where("seq_len"), "", kStatesTooLittle};
  if (!global) {
    if (!stated)
      return Diagnostic{ErrorKind::input, "the row states no batch", row.where("global_batch_seqs"),
                        "", kStatesTooLittle};
    global = *stated * dp;
    chosen.push_back(
        fmt::format("global batch: not stated; one micro-batch on each of {} ranks", dp));
  }
  int64_t share = (*global + dp - 1) / dp;
  if (stated) {
    int64_t size = std::min(*stated, share);
    if (*global % dp == 0) {
      while (share % size != 0) --size;
    } else {
      share = (share + size - 1) / size * size;
    }
    if (size != *stated)
      chosen.push_back(fmt::format("micro-batch: {} does not divide a rank's {} sequences; {}",
                                   *stated, share, size));
    micro = {size};
  } else if (question.micro_batch && share % *question.micro_batch == 0) {
    micro = {*question.micro_batch};
    chosen.push_back(fmt::format("micro-batch: {} by the source's recipes", *question.micro_batch));
  } else if (defaults.pipeline_micro_batch > 0 && degrees.pp > 1 &&
             share % defaults.pipeline_micro_batch == 0) {
    micro = {defaults.pipeline_micro_batch};
    chosen.push_back(fmt::format("micro-batch: not stated; {}, as its pipelines have by default",
                                 defaults.pipeline_micro_batch));
  } else {
    for (int64_t size = 1; size <= share && static_cast<int>(micro.size()) < kMostCandidates;
         size *= 2) {
      if (share % size == 0) micro.push_back(size);
    }
    chosen.emplace_back("micro-batch: not stated; the fastest that fits");
  }
  if (share * dp != *global)
    chosen.push_back(fmt::format("global batch: {} sequences do not divide by {} ranks; {}",
                                 *global, dp, share * dp));
  question.batch = {*sequence, share * dp};
  return Done{};
}

/// Chunks per stage that give equal stages, counting embedding and head as layers if need be.
std::vector<int> chunk_counts(int64_t layers, int64_t pp) {
  std::vector<int> out = {1};
  for (const int64_t total : {layers, layers + 2}) {
    if (total % pp != 0) continue;
    for (int64_t chunks = 2; chunks <= total / pp; ++chunks) {
      if (total / pp % chunks == 0) out.push_back(static_cast<int>(chunks));
    }
    break;
  }
  // The shortest and the longest chunks are the likely ones; what lies between is thinned out.
  while (static_cast<int>(out.size()) > kMostCandidates) out.erase(out.begin() + 1);
  return out;
}

Status sharding_of(const ShardWords& shard, const TrainerDefaults& defaults, const Degrees& degrees,
                   Question& question, Plan& plan) {
  plan.zero = shard.zero;
  if (!shard.stated) {
    plan.zero = defaults.zero;
    question.chosen.push_back(fmt::format("dp_shard: not stated; ZeRO {}, the default of {}",
                                          plan.zero, question.trainer.id));
  }
  const int64_t dp = degrees.dp;
  int64_t group = plan.zero == 0 ? 1 : dp;
  if (shard.group > 0) {
    group = std::gcd(shard.group, dp);
    if (group != shard.group)
      question.chosen.push_back(
          fmt::format("dp_shard: groups of {} among {} ranks; {}", shard.group, dp, group));
  }
  plan.dp_shard = static_cast<int>(group);
  plan.dp_replicate = static_cast<int>(dp / group);
  // FSDP beside pipeline stages keeps the parameters until the last micro-batch.
  plan.reshard_after_forward = degrees.pp == 1;
  return Done{};
}

/// Degrees of the experts; the tensor parallelism that they may have.
Result<std::vector<int>> experts_of(const QuestionRow& row, const std::optional<int64_t>& stated,
                                    const TrainerDefaults& defaults, const Degrees& d,
                                    Question& question, Plan& plan) {
  if (!question.model.moe) {
    if (stated.value_or(1) > 1)
      return Diagnostic{ErrorKind::input,
                        "the row states expert parallelism, but not the experts of its model",
                        row.where("experts"), std::to_string(*stated), kStatesTooLittle};
    return std::vector<int>{1};
  }
  if (stated) {
    plan.ep = static_cast<int>(*stated);
  } else {
    plan.ep = static_cast<int>(std::gcd(question.model.moe->experts, d.dp * d.cp));
    question.chosen.push_back(fmt::format("ep: not stated; {}", plan.ep));
  }
  if (plan.tp == 1) return std::vector<int>{1};
  // Megatron-Core's default is tp, as far as the ranks reach; its newer recipes set 1.
  const int64_t ranks = d.dp * d.cp * d.tp;
  if (!question.trainer.expert_parallel || ranks % (int64_t{plan.ep} * plan.tp) != 0)
    return std::vector<int>{1};
  if (question.expert_tp) return std::vector<int>{static_cast<int>(*question.expert_tp)};
  if (defaults.expert_tp) {
    question.chosen.push_back(fmt::format("expert tensor parallelism: not stated; {}", plan.tp));
    return std::vector<int>{plan.tp};
  }
  question.chosen.push_back(fmt::format(
      "expert tensor parallelism: not stated; 1 or {}, the fastest that fits", plan.tp));
  return std::vector<int>{1, plan.tp};
}

Status formats_of(QuestionRow& row, const TrainerDefaults& defaults, Question& question,
                  Plan& plan) {
  const Gpu& gpu = question.cluster->gpu;
  const DType half = gpu.bf16_flops_per_s > 0 ? DType::bf16 : DType::fp16;
  std::string text = row.text("precision");
  if (text.empty() && !defaults.precision.empty()) {
    text = defaults.precision;
    question.chosen.push_back(fmt::format("precision: not stated; {}", text));
  }
  if (text.empty()) {
    plan.compute = half;
    plan.gradient = gradient_of(question.trainer, plan.compute);
    question.chosen.push_back(fmt::format("precision: not stated; {}", name_of(plan.compute)));
    return Done{};
  }
  MESHPLAN_TRY(plan.compute, precision_words(text));
  if (gpu.peak_flops_per_s(plan.compute) <= 0) {
    const DType run = plan.compute == DType::tf32 ? DType::fp32 : half;
    question.chosen.push_back(fmt::format("precision: {} has no {} products; {}", gpu.id,
                                          name_of(plan.compute), name_of(run)));
    plan.compute = run;
  }
  plan.gradient = gradient_of(question.trainer, plan.compute);
  return Done{};
}

/// Weights and gradients of one rank alone, without states and activations.
bool states_cannot_fit(const Question& question, const Plan& plan) {
  if (plan.zero >= 2) return false;
  const Model& model = question.model;
  const double experts = model.moe ? static_cast<double>(expert_parameters_of_layer(model) *
                                                         layers_of(model, LayerKind::moe))
                                   : 0;
  const double dense = static_cast<double>(parameters(model)) - experts;
  const double held = dense / (double(plan.tp) * plan.pp) + experts / (double(plan.ep) * plan.pp);
  const double bytes = held * (2 + static_cast<double>(bytes_of(plan.gradient)));
  return bytes > static_cast<double>(question.cluster->gpu.memory_usable_bytes);
}

/// The plan with each number of chunks, tensor parallelism of the experts and micro-batch that it
/// may have.
std::vector<Plan> level_of(Plan plan, const RowRecompute& recompute, const std::vector<int>& chunks,
                           const std::vector<int>& expert_tp, const std::vector<int64_t>& micro,
                           const Question& question) {
  std::vector<Plan> level;
  for (const int count : chunks) {
    plan.vpp = count;
    plan.schedule = count > 1 ? ScheduleKind::interleaved : ScheduleKind::one_f_one_b;
    const int64_t layers = question.model.layers;
    plan.recompute_layers =
        recompute.layers == 0 ? recomputed_layers(recompute.choice.share, layers, plan)
        : recompute.layers * plan.virtual_stages() < layers ? static_cast<int>(recompute.layers)
                                                            : -1;
    plan.layer_split = layers_of_stages(question.trainer, question.model, plan.virtual_stages());
    for (const int etp : expert_tp) {
      plan.etp = etp;
      for (const int64_t size : micro) {
        plan.micro_batch = static_cast<int>(size);
        level.push_back(plan);
      }
    }
  }
  return level;
}

}  // namespace

Result<int64_t> gpus_of(QuestionRow& row, std::vector<std::string>& chosen) {
  const auto stated = row.count("gpus");
  const auto tp = row.degree("tp"), pp = row.degree("pp"), cp = row.degree("cp"),
             dp = row.degree("dp");
  MESHPLAN_CHECK(row.finish());
  const int64_t model_parallel = tp.value_or(1) * pp.value_or(1) * cp.value_or(1);
  if (!stated) {
    if (!tp || !pp || !dp)
      return Diagnostic{ErrorKind::input, "the row does not state the number of GPUs",
                        row.where("gpus"), "", kStatesTooLittle};
    chosen.push_back(fmt::format("gpus: not stated; {} by the degrees", model_parallel * *dp));
    return model_parallel * *dp;
  }
  if (*stated % model_parallel == 0) return *stated;
  const int64_t world = model_parallel * dp.value_or(1);
  chosen.push_back(fmt::format("gpus: {} is stated, but the degrees need {}", *stated, world));
  return world;
}

Status plans_of(QuestionRow& row, const TrainerDefaults& defaults, int64_t gpus,
                Question& question) {
  auto& chosen = question.chosen;
  MESHPLAN_TRY(const Degrees d, degrees_of(row, gpus, question, chosen));
  std::vector<int64_t> micro;
  MESHPLAN_CHECK(batch_of(row, defaults, d, question, micro));
  Plan plan;
  plan.tp = static_cast<int>(d.tp);
  plan.pp = static_cast<int>(d.pp);
  plan.cp = static_cast<int>(d.cp);
  if (!question.trainer.context_parallel_kinds.empty()) {
    const auto kind = context_parallel_from(question.trainer.context_parallel_kinds.front());
    if (kind.ok()) plan.cp_kind = *kind;
  }
  MESHPLAN_TRY(const ShardWords shard, shard_words(row.text("dp_shard")));
  MESHPLAN_CHECK(sharding_of(shard, defaults, d, question, plan));
  const auto ep = row.degree("ep");
  const auto vpp = row.degree("vpp");
  MESHPLAN_CHECK(row.finish());
  MESHPLAN_TRY(const std::vector<int> expert_tp, experts_of(row, ep, defaults, d, question, plan));
  MESHPLAN_CHECK(formats_of(row, defaults, question, plan));
  if (question.trainer.bf16_gradients_if_sharded && plan.compute == DType::bf16 && plan.zero >= 1 &&
      plan.pp == 1) {
    plan.gradient = DType::bf16;
  }
  if (question.trainer.bf16_states_sharded && plan.compute == DType::bf16 && plan.zero == 0) {
    plan.zero = 1;
    plan.dp_shard = static_cast<int>(d.dp);
    plan.dp_replicate = 1;
    chosen.push_back(fmt::format("dp_shard: {} shards the states of bf16 weights in any case",
                                 question.trainer.id));
  }
  const std::string sp = lower_case(row.text("sp"));
  plan.sequence_parallel = sp.empty() ? question.trainer.sequence_parallel_default
                                      : sp != "0" && sp != "false" && sp != "none";
  if (sp.empty() && plan.tp > 1)
    chosen.push_back(fmt::format("sp: not stated; {}", plan.sequence_parallel ? "on" : "off"));
  MESHPLAN_TRY(const double offload, offload_share(row.text("optimizer_offload")));
  plan.optimizer_offload = offload > 0;
  if (offload > 0 && offload < 1)
    chosen.push_back(fmt::format("optimizer_offload: {:.0f} % is priced as all", 100 * offload));

  std::vector<int> chunks = {1};
  if (vpp && d.pp > 1) {
    chunks = {static_cast<int>(*vpp)};
  } else if (!vpp && d.pp > 1 && defaults.fastest_vpp) {
    chunks = chunk_counts(question.model.layers, d.pp);
    if (chunks.size() > 1) chosen.emplace_back("vpp: not stated; the fastest that fits");
  }
  MESHPLAN_TRY(const std::vector<RowRecompute> choices, recompute_of(row, defaults, question));
  if (d.dp > 1 && question.trainer.max_zero >= 3 && states_cannot_fit(question, plan)) {
    chosen.push_back(fmt::format(
        "dp_shard: with ZeRO {} weights and gradients alone exceed the memory; fully sharded",
        plan.zero));
    plan.zero = 3;
    plan.dp_shard = static_cast<int>(d.dp);
    plan.dp_replicate = 1;
  }
  // Sharded states cost next to nothing: what leaves both open shards before it recomputes more.
  const bool may_shard =
      !shard.stated && plan.zero == 0 && d.dp > 1 && question.trainer.max_zero > 0;
  if (may_shard) chosen.emplace_back("dp_shard: ZeRO 1 where nothing fits without it");
  for (const RowRecompute& recompute : choices) {
    plan.recompute = recompute.choice.kind;
    plan.recompute_modules = recompute.choice.modules;
    question.levels.push_back(level_of(plan, recompute, chunks, expert_tp, micro, question));
    if (!may_shard || plan.zero > 0) continue;
    plan.zero = 1;
    plan.dp_shard = static_cast<int>(d.dp);
    plan.dp_replicate = 1;
    question.levels.push_back(level_of(plan, recompute, chunks, expert_tp, micro, question));
  }
  return Done{};
}

}  // namespace meshplan
