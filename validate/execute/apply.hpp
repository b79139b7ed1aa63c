// SPDX-License-Identifier: Apache-2.0
// One operation of the step program, carried out by kernels and communicators.
#pragma once
#include <algorithm>
#include <vector>

#include "validate/execute/arena.hpp"
#include "validate/execute/block_state.hpp"
#include "validate/execute/rank_env.hpp"

namespace meshplan {

/// Activations of one block for one micro-batch, by buffer; null where not alive.
using Frame = std::vector<Memory>;

/// Where the router of a rank sent (token, choice) pairs.
struct Routed {
  int64_t pairs = 0;
  int64_t dropped = 0;  ///< of them, without room
  int64_t busiest = 0;  ///< most pairs of one layer and micro-batch that chose one expert
  int64_t rows = 0;     ///< room there for them
  void add(const Routed& more) {
    pairs += more.pairs;
    dropped += more.dropped;
    busiest = std::max(busiest, more.busiest);
    rows = std::max(rows, more.rows);
  }
};

/// Rows that a rank keeps for the tokens that it routes, of all experts; 0: none of the block's.
int64_t expert_rows(const Block& block);

/// Visits the body of an operation. A kind that is missing here does not compile.
class Apply {
 public:
  Apply(RankEnv& env, BlockState& state, Frame& frame) : env_(env), state_(state), frame_(frame) {}

  Status run(const Op& op);

  Status operator()(const Gemm& gemm);
  Status operator()(const Attention& attention);
  Status operator()(const Softmax&);
  Status operator()(const BatchedGemm&);
  Status operator()(const Norm& norm);
  Status operator()(const Rope& rope);
  Status operator()(const Activate& activate);
  Status operator()(const Elementwise& elementwise);
  Status operator()(const Embedding& embedding);
  Status operator()(const CrossEntropy& cross_entropy);
  Status operator()(const Route& route);
  Status operator()(const Permute& permute);
  Status operator()(const Collective& collective);
  Status operator()(const GradientNorm&);
  Status operator()(const OptimizerStep&);
  Status operator()(const PartitionMove&);
  Status operator()(const BucketStep&);

  /// Sum of the losses of the micro-batch's tokens, after the operation that makes it.
  double loss_sum() const { return loss_sum_; }
  const Routed& routed() const { return routed_; }

 private:
  const Buffer& buffer(BufferId id) const { return state_.block().buffer(id); }
  float* data(BufferId id) const;
  float* in(size_t i) const { return data(op_->in[i]); }
  float* out(size_t i) const { return data(op_->out[i]); }
  const int32_t* tokens(BufferId id) const { return reinterpret_cast<const int32_t*>(data(id)); }
  void expert_gemm(const Gemm& gemm);
  int64_t routing_capacity(int64_t tokens, int64_t* group) const;
  void count_routing(const Route& route, int64_t rows_per_expert,
                     const std::vector<int32_t>& expert, const std::vector<int32_t>& row);
  void copy_columns();
  Status not_executed(const char* what) const;

  RankEnv& env_;
  BlockState& state_;
  Frame& frame_;
  const Op* op_ = nullptr;
  double loss_sum_ = 0;
  Routed routed_;
};

}  // namespace meshplan
