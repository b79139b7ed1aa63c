// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/lower.hpp"

#include <algorithm>
#include <numeric>

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

namespace {

Block lower_layer(const LowerContext& context, const BlockKind& which) {
  const Model& model = context.model;
  const LayerKind kind = which.layer;
  const int64_t window = which.window;
  std::string name = kind == LayerKind::moe ? "moe layer" : "layer";
  if (window > 0) name += " windowed";
  if (which.recomputed) name += " recomputed";
  if (which.kept) name += " kept";
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
  if (which.recomputed) return builder.finish(Recompute::full);
  return builder.finish(which.kept ? Recompute::none : Recompute::selective);
}

}  // namespace

Block lower_block(const LowerContext& context, const BlockKind& kind) {
  switch (kind.role) {
    case BlockKind::Role::embedding:
      return lower_embedding(context);
    case BlockKind::Role::head:
      return lower_head(context);
    case BlockKind::Role::layer:
      break;
  }
  return lower_layer(context, kind);
}

Result<std::vector<int>> layers_per_virtual_stage(const Model& model, const Plan& plan) {
  // DualPipe holds every piece twice, on the stages that lie opposite each other.
  const int stages = plan.virtual_stages();
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

std::vector<int> layers_by_cost(const Model& model, int stages) {
  // A layer's products and the head's, in multiplications per token.
  const double h = static_cast<double>(model.hidden);
  const double heads = static_cast<double>(model.heads * model.head_dim) * 2 +
                       static_cast<double>(model.kv_heads * model.head_dim) * 2;
  const double mlp = static_cast<double>(model.intermediate) * (is_gated(model.activation) ? 3 : 2);
  const double layer = h * (heads + mlp), head = h * static_cast<double>(model.vocabulary);
  const double total = layer * static_cast<double>(model.layers) + head;
  std::vector<int> split(static_cast<size_t>(stages), 0);
  int stage = 0;
  for (int i = 0; i < model.layers; ++i) {
    ++split[static_cast<size_t>(stage)];
    // A stage is closed by the layer that carries it beyond its share.
    if (layer * (i + 1) > total * (stage + 1) / stages && stage + 1 < stages) ++stage;
  }
  return split;
}

}  // namespace

std::vector<int> layers_with_ends(int64_t layers, int64_t stages, int64_t first, int64_t last) {
  const int64_t whole = layers + first + last;
  std::vector<int> split;
  for (int64_t i = 0; i < stages; ++i) {
    int64_t own = whole / stages + (i < whole % stages ? 1 : 0);
    if (i == 0) own -= first;
    if (i + 1 == stages) own -= last;
    split.push_back(static_cast<int>(std::max<int64_t>(0, own)));
  }
  return split;
}

std::vector<int> layers_of_stages(const Trainer& trainer, const Model& model, int stages) {
  if (stages <= 1 || stages >= model.layers) return {};
  switch (trainer.layer_split) {
    case LayerSplit::equal:
      return {};
    case LayerSplit::by_cost:
      return layers_by_cost(model, stages);
    case LayerSplit::with_ends:
      return layers_with_ends(model.layers, stages, 1, trainer.head_as_layers);
  }
  return {};
}

Result<BlockLayout> lay_out_blocks(const Model& model, const Plan& plan, int64_t micro_batches) {
  MESHPLAN_TRY(const std::vector<int> split, layers_per_virtual_stage(model, plan));
  BlockLayout layout;
  const auto index_of = [&](const BlockKind& kind) {
    const auto found = std::find(layout.kinds.begin(), layout.kinds.end(), kind);
    if (found != layout.kinds.end()) return static_cast<int>(found - layout.kinds.begin());
    layout.kinds.push_back(kind);
    return static_cast<int>(layout.kinds.size()) - 1;
  };
  const auto add = [&](Chunk& chunk, const BlockKind& kind, int layer) {
    const int block = index_of(kind);
    if (layer >= 0 && !chunk.runs.empty() && chunk.runs.back().block == block) {
      ++chunk.runs.back().count;
    } else {
      chunk.runs.push_back({block, layer, 1});
    }
  };
  const ScheduleShape shape{plan.schedule, plan.pp, plan.vpp, micro_batches, plan.schedule_group};
  std::vector<int> first(split.size() + 1, 0);
  std::partial_sum(split.begin(), split.end(), first.begin() + 1);
  layout.stages.assign(static_cast<size_t>(plan.pp),
                       Stage{std::vector<Chunk>(static_cast<size_t>(plan.vpp))});
  for (int stage = 0; stage < plan.pp; ++stage) {
    for (int c = 0; c < plan.vpp; ++c) {
      const auto v = static_cast<size_t>(virtual_stage(shape, stage, c));
      Chunk& chunk = layout.stages[static_cast<size_t>(stage)].chunks[static_cast<size_t>(c)];
      if (v == 0) add(chunk, {BlockKind::Role::embedding}, -1);
      for (int i = 0; i < split[v]; ++i) {
        const int layer = first[v] + i;
        const bool counts = plan.recompute_layers < 0 || i < plan.recompute_layers;
        add(chunk,
            {BlockKind::Role::layer, kind_of(model, layer), window_of(model, layer),
             plan.recompute == Recompute::full && counts,
             plan.recompute == Recompute::selective && !counts},
            layer);
      }
      if (v + 1 == split.size()) add(chunk, {BlockKind::Role::head}, -1);
    }
  }
  return layout;
}

Result<Program> lower(const Model& model, const Plan& plan, const Batch& batch,
                      const Trainer& trainer, double expert_capacity) {
  const int64_t micro_batches = batch.micro_batches(plan);
  MESHPLAN_TRY(BlockLayout layout, lay_out_blocks(model, plan, micro_batches));
  Program program{model, plan, batch, trainer};
  const LowerContext context{program.model, program.plan, program.batch, program.trainer,
                             expert_capacity};
  program.schedule = {plan.schedule, plan.pp, plan.vpp, micro_batches, plan.schedule_group};
  program.stages = std::move(layout.stages);
  for (const BlockKind& kind : layout.kinds) {
    program.blocks.push_back(lower_block(context, kind));
    lay_out_states(context, program.blocks.back());
  }
  program.boundary_bytes =
      plan.pp * plan.vpp > 1 ? context.own_tokens() * model.hidden * bytes_of(context.value()) : 0;
  program.tied_across_stages = model.tied_embeddings && plan.pp > 1;
  if (model.mla) program.priced_only.push_back("multi-head latent attention");
  if (plan.compute == DType::fp4) program.priced_only.push_back("fp4 products");
  if (plan.cp > 1 && plan.cp_kind == ContextParallel::all_to_all) {
    program.priced_only.push_back("context parallelism by all-to-all");
  }
  for (const Block& block : program.blocks) {
    if (block.reduce_when == When::each_round) {
      program.priced_only.push_back("gradient reduction once a round of the schedule");
      break;
    }
  }
  if (plan.optimizer_offload) program.priced_only.push_back("optimizer offload");
  if (trainer.alternate_products_kept && plan.recompute == Recompute::selective) {
    program.priced_only.push_back("checkpoints that keep every second product");
  }
  return program;
}

}  // namespace meshplan
