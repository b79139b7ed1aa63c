// SPDX-License-Identifier: Apache-2.0
// One operation of the step program, carried out by the kernels of the GPU.
#pragma once
#include "profiler/cuda/elementwise.hpp"
#include "validate/execute/block_state.hpp"
#include "validate/execute/cuda_kernels.hpp"
#include "validate/execute/rank_env.hpp"

namespace meshplan {

/// Visits the body of an operation. A kind that is missing here does not compile.
class CudaApply {
 public:
  CudaApply(CudaKernels& kernels, const OpSite& site, const Op& op)
      : kernels_(kernels), site_(site), env_(site.env), op_(op) {}

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
  const Buffer& buffer(BufferId id) const { return site_.state.block().buffer(id); }
  Tensor in(size_t i) const { return site_.tensor(op_.in[i]); }
  Tensor out(size_t i) const { return site_.tensor(op_.out[i]); }
  cudaStream_t stream() const { return kernels_.stream; }
  /// Operands that a kernel takes in one type.
  Status same_type(Tensor a, Tensor b) const;
  Result<float*> column_workspace(int64_t rows, int64_t cols);
  Status copy_columns();
  Status layer_norm(const Norm& norm, float epsilon);
  /// An operand of an 8-bit product along the inner dimension.
  struct Eight {
    const void* data;
    const float* scale;
  };
  /// [rows, cols] as it lies; turned: as [cols, rows]. Weights are cast here.
  Result<Eight> eight_bit(size_t operand, int64_t rows, int64_t cols, bool turned);
  Status fp8_product(const Gemm& gemm);
  Status expert_products(const Gemm& gemm);

  CudaKernels& kernels_;
  const OpSite& site_;
  RankEnv& env_;
  const Op& op_;
};

}  // namespace meshplan
