// SPDX-License-Identifier: Apache-2.0
// The reduction of one block's gradients, under way while the blocks before it run their backward
// pass.
#pragma once
#include <vector>

#include "validate/execute/collective.hpp"

namespace meshplan {

class Reduction {
 public:
  /// Both outlive it. last: no other reduction of this block follows in the step.
  Reduction(RankEnv& env, BlockState& state, bool last) : env_(env), state_(state), last_(last) {}

  /// Starts the operations of the reduce phase one behind the other. The block's gradients belong
  /// to the reduction until finish().
  Status start();
  /// Afterwards the gradient shards hold the sums, and whole gradients that are not kept are freed.
  Status finish();
  const BlockState& state() const { return state_; }

 private:
  /// A gradient in the type that it is reduced in.
  struct Staged {
    BufferId id;
    Tensor kept, used;
    int64_t count;
    bool written;
  };
  Status start(const Op& op, const Collective& collective, const OpSite& site);
  Result<Tensor> stage(BufferId id, Tensor kept, int64_t count, DType type, bool reads,
                       bool writes);
  Status wait();
  /// Most bytes that staging takes.
  int64_t staged_bytes(const OpSite& site) const;

  RankEnv& env_;
  BlockState& state_;
  bool last_;
  std::vector<Pending> under_way_;
  std::vector<Staged> staged_;
  std::byte* free_ = nullptr;  ///< of the staging memory
};

}  // namespace meshplan
