// SPDX-License-Identifier: Apache-2.0
// What does every rank do in one optimizer step? The value that the cost model prices and the
// executor runs.
//
// A Program is a set of distinct blocks (embedding, a layer of each kind, head), the chunks of
// blocks on every pipeline stage, and a schedule of (forward | backward | weight gradient,
// micro-batch, chunk). It is not unrolled: an interpreter walks stage -> action -> chunk -> block
// -> phase -> operation. Ranks of one stage do the same; the executor adds their coordinates.
//
// Phases of a block, and when they run:
//   gather     all-gather of sharded parameters; per Block::gather_when
//   forward    every F action
//   backward   every B (or I) action, blocks in reverse; what is recomputed stands in it
//   weight     every W action of split schedules (else empty: its operations stand in backward)
//   reduce     gradients to their shards; per Block::reduce_when
//   update     once, at the end of the step, after Program::step_end
// With Block::parameters_freed the gather phase runs again before every backward action.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "strategies/plan/plan.hpp"
#include "strategies/program/op.hpp"
#include "strategies/trainer/trainer.hpp"

namespace meshplan {

enum class BufferClass : uint8_t {
  parameter,   ///< compute copy of weights
  gradient,    ///< accumulated over micro-batches
  optimizer,   ///< master weights and moments
  activation,  ///< per micro-batch; lives from first write to last read, see live_range.hpp
  input        ///< tokens, targets: given from outside
};

struct Buffer {
  std::string name;
  BufferClass kind;
  DType dtype;
  int64_t rows, cols;
  BufferId view_of = -1;    ///< part of another buffer: takes no memory of its own
  int64_t view_offset = 0;  ///< elements from the start of that buffer
  bool own_shard = false;   ///< the view starts at (rank in the shard group) * rows * cols
  bool transient = false;   ///< a state that exists only around the phases that use it
  bool on_host = false;
  int64_t elements() const { return rows * cols; }
  int64_t bytes() const { return rows * cols * bytes_of(dtype); }
};

/// One of the tensors that a fused parameter is made of, stacked along rows.
struct Piece {
  std::string name;  ///< HF's within the layer: "self_attn.q_proj.weight"; "{e}" = expert
  int64_t rows;      ///< of the whole, unsharded tensor; each piece is cut by itself
};

/// How one parameter tensor lies on this rank and over its groups.
struct Parameter {
  std::string name;      ///< within the block: "qkv.weight", "norm1.weight", ...
  BufferId weight;       ///< view into FlatState::weight
  BufferId gradient;     ///< view into FlatState::gradient
  int64_t rows, cols;    ///< of the whole, unsharded tensor (padded vocabulary)
  int tp_dim;            ///< dimension that tp (or etp) cuts: 0 rows, 1 columns, -1 replicated
  bool expert;           ///< one of `local experts` stacked along rows; reduced over expert groups
  bool partial_over_tp;  ///< replicated over tp, gradient is a partial sum over the tp ranks
  bool decay;            ///< weight decay applies
  std::vector<Piece> pieces;
  int64_t experts = 0;  ///< local experts stacked along rows
  bool tied = false;    ///< is the embedding block's of this stage: no memory, no states of its own
};

/// Parameters of one kind (dense or expert) of a block in one flat, padded to a multiple of the
/// shard group; those with gradients partial over tp come first.
struct FlatState {
  Group shard, replicate;
  int64_t elements = 0;          ///< padded
  int64_t used_elements = 0;     ///< without padding
  int64_t partial_elements = 0;  ///< leading ones to be summed over tp first
  BufferId weight = -1;          ///< whole, compute type; transient with zero 3
  BufferId weight_shard = -1;    ///< own part
  BufferId gradient = -1;        ///< whole; transient where gradients are sharded
  BufferId gradient_shard = -1;  ///< own part
  BufferId master = -1;          ///< own part, fp32; -1 when the weights are fp32 themselves
  BufferId moment1 = -1, moment2 = -1;
};

/// each_round: when the schedule leaves a chunk, after N consecutive backwards of it (interleaved).
enum class When : uint8_t {
  never,
  each_micro_batch,
  first_micro_batch,
  last_micro_batch,
  each_round
};
enum class Phase : uint8_t { gather, forward, backward, weight, reduce, update };
constexpr int kPhases = 6;

struct Block {
  std::string name;  ///< "embedding", "layer", "moe layer", "head"
  std::vector<Buffer> buffers;
  std::vector<Parameter> parameters;
  std::vector<FlatState> states;  ///< dense parameters, then experts' if there are any
  std::array<std::vector<Op>, kPhases> phases;
  BufferId input = -1;   ///< activation that comes from the previous block; -1: first block
  BufferId output = -1;  ///< handed to the next block; -1: last block
  BufferId input_gradient = -1;
  BufferId output_gradient = -1;
  When gather_when = When::never;
  When reduce_when = When::last_micro_batch;
  bool parameters_freed = false;  ///< zero 3: weights exist only while gathered

  const std::vector<Op>& ops(Phase phase) const { return phases[static_cast<size_t>(phase)]; }
  std::vector<Op>& ops(Phase phase) { return phases[static_cast<size_t>(phase)]; }
  const Buffer& buffer(BufferId id) const { return buffers[static_cast<size_t>(id)]; }
  Buffer& buffer(BufferId id) { return buffers[static_cast<size_t>(id)]; }
};

struct BlockRun {
  int block;        ///< index into Program::blocks
  int first_layer;  ///< of the model; -1 for embedding and head
  int count;
};
struct Chunk {
  std::vector<BlockRun> runs;
};
struct Stage {
  std::vector<Chunk> chunks;
};

struct Program {
  Model model;
  Plan plan;
  Batch batch;
  Trainer trainer;
  std::vector<Block> blocks;
  std::vector<Stage> stages;
  ScheduleShape schedule;
  int64_t boundary_bytes = 0;  ///< activation sent between virtual stages, per micro-batch and rank
  bool tied_across_stages = false;  ///< embedding gradient is summed over Group::tied at step end
  std::vector<std::string> priced_only;  ///< what the executor does not know
};

/// Ranks in a group under this plan.
int64_t size_of(Group group, const Plan& plan);

}  // namespace meshplan
