// SPDX-License-Identifier: Apache-2.0
// One operation of the step program, carried out by kernels and communicators.
#pragma once
#include <vector>

#include "validate/execute/arena.hpp"
#include "validate/execute/block_state.hpp"
#include "validate/execute/rank_env.hpp"

namespace meshplan {

/// Activations of one block for one micro-batch, by buffer; null where not alive.
using Frame = std::vector<Memory>;

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

 private:
  const Buffer& buffer(BufferId id) const { return state_.block().buffer(id); }
  float* data(BufferId id) const;
  float* in(size_t i) const { return data(op_->in[i]); }
  float* out(size_t i) const { return data(op_->out[i]); }
  const int32_t* tokens(BufferId id) const { return reinterpret_cast<const int32_t*>(data(id)); }
  void expert_gemm(const Gemm& gemm);
  int64_t routing_capacity(int64_t tokens, int64_t experts, int64_t top_k, int64_t* group) const;
  Status not_executed(const char* what) const;

  RankEnv& env_;
  BlockState& state_;
  Frame& frame_;
  const Op* op_ = nullptr;
  double loss_sum_ = 0;
};

}  // namespace meshplan
