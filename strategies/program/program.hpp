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
//   regather   before a backward action, if parameters were freed after forward
//   backward   every B (or I) action, blocks in reverse; starts with what is recomputed
//   weight     every W action of split schedules (else empty: its operations stand in backward)
//   reduce     gradients to their shards; per Block::reduce_when
//   update     once, at the end of the step
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
  parameter,   ///< compute copy of weights, whole step (or while gathered, zero 3)
  gradient,    ///< accumulated over micro-batches
  optimizer,   ///< master weights and moments
  activation,  ///< per micro-batch
  scratch,     ///< within one phase
  input        ///< tokens, targets, positions: given from outside
};

struct Buffer {
  std::string name;
  BufferClass kind;
  DType dtype;
  int64_t rows, cols;
  int64_t bytes() const { return rows * cols * bytes_of(dtype); }
};

/// How one parameter tensor lies on this rank and over its groups.
struct Parameter {
  std::string name;      ///< HF name within the block, "self_attn.q_proj.weight"; fused: "qkv"
  BufferId weight;       ///< local shard, class parameter
  BufferId gradient;     ///< class gradient
  int64_t rows, cols;    ///< of the whole, unsharded tensor
  int tp_dim;            ///< dimension that tp (or etp) cuts: 0 rows, 1 columns, -1 replicated
  bool expert;           ///< sharded over ep, reduced over the expert groups
  bool partial_over_tp;  ///< replicated over tp, gradient is a partial sum over the tp ranks
  bool decay;            ///< weight decay applies
};

enum class When : uint8_t {
  never,
  each_micro_batch,
  first_micro_batch,
  last_micro_batch,
  step_end
};
enum class Phase : uint8_t { gather, forward, regather, backward, weight, reduce, update };
constexpr int kPhases = 7;

struct Block {
  std::string name;  ///< "embedding", "layer", "moe layer", "head"
  std::vector<Buffer> buffers;
  std::vector<Parameter> parameters;
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
  std::vector<Op> step_end;    ///< gradient norm and its all-reduce, before the updates
  std::vector<std::string> not_modelled;
};

/// Ranks in a group under this plan.
int64_t size_of(Group group, const Plan& plan);

}  // namespace meshplan
