// SPDX-License-Identifier: Apache-2.0
// Which step program does a plan mean? Lowering of a decoder-only transformer, block by block.
//
// The caller has checked the plan (strategies/rules): degrees divide what they cut.
#pragma once
#include <vector>

#include "strategies/program/builder.hpp"
#include "strategies/program/program.hpp"

namespace meshplan {

/// The whole program of one step.
Result<Program> lower(const Model& model, const Plan& plan, const Batch& batch,
                      const Trainer& trainer, double expert_capacity = 1);

/// What distinguishes one block of a model from another under the same plan.
struct BlockKind {
  enum class Role : uint8_t { embedding, layer, head } role = Role::layer;
  LayerKind layer = LayerKind::dense;
  int64_t window = 0;       ///< of the layer's attention; 0 = full
  bool recomputed = false;  ///< the whole layer runs forward again before its backward pass
  bool kept = false;        ///< nothing of it does, though modules of other layers do
  bool operator==(const BlockKind&) const = default;
};

/// Which blocks run where; BlockRun::block is an index into kinds.
struct BlockLayout {
  std::vector<BlockKind> kinds;
  std::vector<Stage> stages;
};
/// Errors of layers_per_virtual_stage.
Result<BlockLayout> lay_out_blocks(const Model& model, const Plan& plan, int64_t micro_batches);

/// A block's passes, its parameters not yet laid out (see lay_out_states).
Block lower_block(const LowerContext& context, const BlockKind& kind);

/// Layers of each virtual stage in model order. From plan.layer_split, else equal shares; where the
/// count does not divide: first and last one less (Llama 3, section 3.3.2), else the first ones get
/// one more. Error (no_plan) when the split does not sum up.
Result<std::vector<int>> layers_per_virtual_stage(const Model& model, const Plan& plan);

/// Layers of each stage when what stands before and behind them counts as `first` and `last` layers
/// (torchtitan, distributed/pipeline_parallel.py). An end that counts as more than its stage has
/// leaves it none: the numbers then do not sum to `layers`, which layers_per_virtual_stage refuses.
std::vector<int> layers_with_ends(int64_t layers, int64_t stages, int64_t first, int64_t last);

/// Layers of each stage as the trainer deals them out; empty: equal numbers, or more stages than
/// layers. by_cost: a stage takes layers until it has more than its share of the products of all
/// layers and the head (nanotron).
std::vector<int> layers_of_stages(const Trainer& trainer, const Model& model, int stages);

/// Vocabulary as it is allocated: the trainer may pad it to a multiple of 128 * tp.
int64_t padded_vocabulary(const Model& model, const Plan& plan, const Trainer& trainer);

/// Share of the q_len * kv_len square that causal attention with a window looks at.
double attention_work(int64_t sequence, int64_t window);

// Ends of the model.
Block lower_embedding(const LowerContext& context);
Block lower_head(const LowerContext& context);

// Parts of a layer; x is the normed input, own tokens.
BufferId lower_attention(BlockBuilder& builder, BufferId x, int64_t window);
BufferId lower_mla(BlockBuilder& builder, BufferId x);
/// The core: q, k, v of this rank's tokens and heads to o. Context parallelism stands here.
BufferId lower_core_attention(BlockBuilder& builder, BufferId q, BufferId k, BufferId v,
                              int64_t heads, int64_t kv_heads, int64_t window);
BufferId lower_mlp(BlockBuilder& builder, BufferId x, int64_t intermediate, bool shared);
BufferId lower_moe(BlockBuilder& builder, BufferId x);

}  // namespace meshplan
