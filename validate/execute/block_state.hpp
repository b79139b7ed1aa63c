// SPDX-License-Identifier: Apache-2.0
// Weights, gradients and optimizer states of one layer (or end) on one rank.
#pragma once
#include <vector>

#include "validate/execute/arena.hpp"
#include "validate/execute/initial.hpp"
#include "validate/execute/parts.hpp"

namespace meshplan {

/// Meters of the classes of memory of a rank.
struct Meters {
  Meter states;      ///< resident parameters, gradients, optimizer states
  Meter gathered;    ///< whole weights while they are gathered (zero 3)
  Meter whole;       ///< whole gradients until they are reduced (zero 2, 3)
  Meter activation;  ///< of all micro-batches under way
};

class BlockState {
 public:
  BlockState(const Program& program, const Block& block, const RankPlace& place, int layer,
             Arena* arena, Meters* meters);

  const Block& block() const { return *block_; }
  int layer() const { return layer_; }
  const std::vector<TensorPart>& parts(size_t flat) const { return parts_[flat]; }

  /// Resident buffers; weights from the source, all else 0.
  Status create(const WeightSource& source);
  /// The tied parameter of this block is that of `owner`.
  void tie(BlockState* owner) { owner_ = owner; }

  /// Address of a parameter, gradient or optimizer state.
  float* at(BufferId id) const;
  int64_t elements(BufferId id) const { return block_->buffer(id).elements(); }

  // Transient buffers (zero 2, 3). Calls for a block without such buffers do nothing.
  void open_weights();  ///< before a gather; a shard of a group of one is copied
  void close_weights();
  bool weights_open() const;  ///< or resident
  void open_gradients();      ///< zeroed
  void close_gradients();

  /// Between begin and end, a gradient shard stands for this rank's part of the whole gradient of
  /// this micro-batch; end adds that to the shard. Nothing for resident whole gradients.
  void begin_reduce() { reducing_ = true; }
  void end_reduce();
  /// After a reduction that another one will follow: resident gradients have been summed over
  /// ranks, so each rank keeps the share that makes the next sum count them once.
  void keep_own_share();
  void zero_gradients();  ///< resident ones

 private:
  void set_transient(BufferClass kind, bool open);

  const Block* block_;
  const RankPlace* place_;
  int layer_;
  Arena* arena_;
  Meters* meters_;
  BlockState* owner_ = nullptr;
  std::vector<Memory> memory_;  ///< by buffer; null for views and activations
  std::vector<std::vector<TensorPart>> parts_;
  bool reducing_ = false;  ///< see begin_reduce
};

}  // namespace meshplan
