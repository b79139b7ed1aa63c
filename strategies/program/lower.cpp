// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/lower.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include <fmt/format.h>

namespace meshplan {

int64_t size_of(Group group, const Plan& plan) {
  const int64_t data = int64_t{plan.dp()} * plan.cp;
  // Experts live on ep * etp of the tp * cp * dp ranks; the rest are their copies.
  const int64_t expert_data = std::max<int64_t>(1, data * plan.tp / (int64_t{plan.ep} * plan.etp));
  const int64_t expert_copies = std::min<int64_t>(plan.dp_replicate, expert_data);
  switch (group) {
    case Group::tp:
      return plan.tp;
    case Group::cp:
      return plan.cp;
    case Group::ep:
      return plan.ep;
    case Group::etp:
      return plan.etp;
    case Group::shard:
      return plan.zero == 0 ? 1 : int64_t{plan.dp_shard} * plan.cp;
    case Group::replicate:
      return plan.zero == 0 ? data : plan.dp_replicate;
    case Group::expert_shard:
      return plan.zero == 0 ? 1 : expert_data / expert_copies;
    case Group::expert_replicate:
      return plan.zero == 0 ? expert_data : expert_copies;
    case Group::pp:
      return plan.pp;
    case Group::tied:
      return 2;
    case Group::world:
      return plan.world();
  }
  return 1;
}

Block lower_layer(const LowerContext& context, LayerKind kind, int64_t window, bool recompute_all) {
  const Model& model = context.model;
  std::string name = kind == LayerKind::moe ? "moe layer" : "layer";
  if (window > 0) name += " windowed";
  if (recompute_all) name += " recomputed";
  BlockBuilder builder(context, name);
  const BufferId x = builder.value("layer input", context.own_tokens(), model.hidden);
  builder.set_input(x);
  const auto mlp = [&](BufferId from) {
    return kind == LayerKind::moe ? lower_moe(builder, from)
                                  : lower_mlp(builder, from, model.intermediate, false);
  };
  const auto attention = [&](BufferId from) {
    return model.mla ? lower_mla(builder, from) : lower_attention(builder, from, window);
  };
  const bool after = model.norms_per_layer == 4;
  BufferId normed = builder.norm("norm1", "input_layernorm", Module::norm, x, model.hidden);
  BufferId a = attention(normed);
  if (after) {
    a = builder.norm("norm1 after", "post_attention_layernorm", Module::norm, a, model.hidden);
  }
  const BufferId middle = builder.residual("after attention", x, a);
  if (!(model.parallel_residual && model.norms_per_layer == 1)) {
    const char* hf = after ? "pre_feedforward_layernorm" : "post_attention_layernorm";
    normed =
        builder.norm("norm2", hf, Module::norm, model.parallel_residual ? x : middle, model.hidden);
  }
  BufferId m = mlp(normed);
  if (after) {
    m = builder.norm("norm2 after", "post_feedforward_layernorm", Module::norm, m, model.hidden);
  }
  builder.set_output(builder.residual("layer output", middle, m));
  return builder.finish(recompute_all);
}

Result<std::vector<int>> layers_per_virtual_stage(const Model& model, const Plan& plan) {
  // DualPipe holds every piece twice, on the stages that lie opposite each other.
  const int stages = plan.schedule == ScheduleKind::dualpipe ? plan.pp : plan.pp * plan.vpp;
  const int layers = static_cast<int>(model.layers);
  if (!plan.layer_split.empty()) {
    const auto& split = plan.layer_split;
    if (static_cast<int>(split.size()) != stages ||
        std::accumulate(split.begin(), split.end(), 0) != layers) {
      return Diagnostic{ErrorKind::no_plan,
                        fmt::format("the layer split does not fit: {} virtual stages and {} layers",
                                    stages, layers),
                        "--layer-split",
                        fmt::format("{}", fmt::join(split, ",")),
                        "layer-split",
                        fmt::format("give {} numbers that sum to {}", stages, layers)};
    }
    return split;
  }
  std::vector<int> split(static_cast<size_t>(stages), layers / stages);
  if (layers % stages == 0) return split;
  if ((layers + 2) % stages == 0 && stages > 1) {
    std::fill(split.begin(), split.end(), (layers + 2) / stages);
    --split.front();
    --split.back();
  } else if ((layers + 1) % stages == 0 && stages > 1) {
    std::fill(split.begin(), split.end(), (layers + 1) / stages);
    --split.back();
  } else {
    for (int i = 0; i < layers % stages; ++i) ++split[static_cast<size_t>(i)];
  }
  return split;
}

namespace {

/// Collects the distinct blocks and where they run.
class Assembly {
 public:
  Assembly(const LowerContext& context, Program& program) : context_(context), program_(program) {}

  void stages(const std::vector<int>& split) {
    const Plan& plan = context_.plan;
    program_.stages.assign(static_cast<size_t>(plan.pp),
                           Stage{std::vector<Chunk>(static_cast<size_t>(plan.vpp))});
    std::vector<int> first(split.size() + 1, 0);
    std::partial_sum(split.begin(), split.end(), first.begin() + 1);
    for (int stage = 0; stage < plan.pp; ++stage) {
      for (int chunk = 0; chunk < plan.vpp; ++chunk) {
        const int v = virtual_stage(program_.schedule, stage, chunk);
        Chunk& target =
            program_.stages[static_cast<size_t>(stage)].chunks[static_cast<size_t>(chunk)];
        if (v == 0) target.runs.push_back({ends(true), -1, 1});
        const auto at = static_cast<size_t>(v);
        for (int i = 0; i < split[at]; ++i) layer(target, first[at] + i, i);
        if (v + 1 == static_cast<int>(split.size())) target.runs.push_back({ends(false), -1, 1});
      }
    }
  }

 private:
  int ends(bool embedding) {
    const bool tied_here = context_.model.tied_embeddings && context_.plan.pp == 1;
    program_.blocks.push_back(embedding ? lower_embedding(context_)
                                        : lower_head(context_, tied_here));
    return static_cast<int>(program_.blocks.size()) - 1;
  }

  void layer(Chunk& chunk, int index, int in_chunk) {
    const Model& model = context_.model;
    const Plan& plan = context_.plan;
    const bool all = plan.recompute == Recompute::full &&
                     (plan.recompute_layers < 0 || in_chunk < plan.recompute_layers);
    const auto key = std::make_tuple(kind_of(model, index), window_of(model, index), all);
    auto found = layers_.find(key);
    if (found == layers_.end()) {
      program_.blocks.push_back(lower_layer(context_, std::get<0>(key), std::get<1>(key), all));
      found = layers_.emplace(key, static_cast<int>(program_.blocks.size()) - 1).first;
    }
    if (!chunk.runs.empty() && chunk.runs.back().block == found->second) {
      ++chunk.runs.back().count;
    } else {
      chunk.runs.push_back({found->second, index, 1});
    }
  }

  const LowerContext& context_;
  Program& program_;
  std::map<std::tuple<LayerKind, int64_t, bool>, int> layers_;
};

}  // namespace

Result<Program> lower(const Model& model, const Plan& plan, const Batch& batch,
                      const Trainer& trainer) {
  MESHPLAN_TRY(const std::vector<int> split, layers_per_virtual_stage(model, plan));
  Program program{model, plan, batch, trainer};
  const LowerContext context{program.model, program.plan, program.batch, program.trainer};
  program.schedule = {plan.schedule, plan.pp, plan.vpp, batch.micro_batches(plan),
                      plan.schedule_group};
  Assembly(context, program).stages(split);
  program.boundary_bytes =
      plan.pp * plan.vpp > 1 ? context.own_tokens() * model.hidden * bytes_of(context.value()) : 0;
  program.tied_across_stages = model.tied_embeddings && plan.pp > 1;
  if (model.mla) program.priced_only.push_back("multi-head latent attention");
  if (plan.compute == DType::fp8) program.priced_only.push_back("fp8 products");
  if (plan.cp > 1 && plan.cp_kind == ContextParallel::all_to_all) {
    program.priced_only.push_back("context parallelism by all-to-all");
  }
  if (plan.optimizer_offload) program.priced_only.push_back("optimizer offload");
  return program;
}

}  // namespace meshplan
