// SPDX-License-Identifier: Apache-2.0
// One operation of the step program, carried out by the kernels of the CPU.
#pragma once
#include <algorithm>
#include <vector>

#include "validate/execute/block_state.hpp"
#include "validate/execute/cpu_device.hpp"
#include "validate/execute/rank_env.hpp"
#include "validate/execute/routed.hpp"

namespace meshplan {

/// Visits the body of an operation. A kind that is missing here does not compile.
class Apply {
 public:
  Apply(CpuDevice& device, const OpSite& site, const Op& op)
      : device_(device), site_(site), env_(site.env), op_(op) {}

  Status run();

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
  Status operator()(const Collective&);
  Status operator()(const GradientNorm&);
  Status operator()(const OptimizerStep&);
  Status operator()(const PartitionMove&);
  Status operator()(const BucketStep&);

 private:
  struct Operand {
    BufferId id;
    float* data;
  };
  const Buffer& buffer(BufferId id) const { return site_.state.block().buffer(id); }
  cpu::Workers& workers() { return device_.workers(); }
  float* data(BufferId id) const;
  float* in(size_t i) const { return data(op_.in[i]); }
  float* out(size_t i) const { return data(op_.out[i]); }
  const int32_t* tokens(BufferId id) const { return reinterpret_cast<const int32_t*>(data(id)); }
  void expert_gemm(const Gemm& gemm);
  void round_weight(BufferId id);
  int64_t routing_capacity(int64_t tokens, int64_t* group) const;
  void count_routing(const Route& route, int64_t rows_per_expert,
                     const std::vector<int32_t>& expert, const std::vector<int32_t>& row);
  void copy_columns();

  CpuDevice& device_;
  const OpSite& site_;
  RankEnv& env_;
  const Op& op_;
  std::vector<Operand> operands_;  ///< each once, in fp32
};

}  // namespace meshplan
