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
             Device* device, Arena* arena, Meters* meters);

  const Block& block() const { return *block_; }
  int layer() const { return layer_; }
  const std::vector<TensorPart>& parts(size_t flat) const { return parts_[flat]; }

  /// Resident buffers; weights from the source (null: 0), all else 0. Weights in bf16 are rounded
  /// from what their fp32 masters hold.
  Status create(const WeightSource* source);
  /// The tied parameter of this block is that of `owner`.
  void tie(BlockState* owner) { owner_ = owner; }
  const BlockState* tied_to() const { return owner_; }

  /// A parameter, gradient or optimizer state.
  Tensor at(BufferId id) const;
  /// Own shard of the weights that the optimizer steps: the fp32 masters where there are any.
  Tensor master(const FlatState& flat) const {
    return at(flat.master >= 0 ? flat.master : flat.weight_shard);
  }
  int64_t elements(BufferId id) const { return block_->buffer(id).elements(); }

  // Transient buffers (zero 2, 3). Calls for a block without such buffers do nothing.
  Status open_weights();  ///< before a gather; a shard of a group of one is copied
  void close_weights();
  bool weights_open() const;  ///< or resident
  Status open_gradients();    ///< zeroed
  void close_gradients();

  /// Between begin and end, a gradient shard stands for this rank's part of the whole gradient of
  /// this micro-batch; end adds that to the shard. Nothing for resident whole gradients.
  void begin_reduce() { reducing_ = true; }
  Status end_reduce();
  /// After a reduction that another one will follow: resident gradients have been summed over
  /// ranks, so each rank keeps the share that makes the next sum count them once.
  Status keep_own_share();
  Status zero_gradients();  ///< resident ones

 private:
  Status fill(size_t flat, const WeightSource& source);
  Status open(BufferClass kind);
  void close(BufferClass kind);

  const Block* block_;
  const RankPlace* place_;
  int layer_;
  Device* device_;
  Arena* arena_;
  Meters* meters_;
  BlockState* owner_ = nullptr;
  std::vector<Memory> memory_;  ///< by buffer; null for views and activations
  std::vector<std::vector<TensorPart>> parts_;
  bool reducing_ = false;  ///< see begin_reduce
};

}  // namespace meshplan
