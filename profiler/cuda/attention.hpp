// SPDX-License-Identifier: Apache-2.0
// Causal flash attention by cuDNN's graphs (through cudnn-frontend) on the GPU, forward and
// backward. In a build without cuDNN's or the frontend's headers the functions are there and say so
// (attention_absent.cpp); attention_simple.hpp runs everywhere.
//
// bf16; q, o, dq [batch * q_len, heads * head_dim], k, v and gradients with kv_len and kv_heads,
// all token-major; lse fp32 in cuDNN's order [batch, heads, q_len]. head_dim = head_dim_v, a
// multiple of 8, at most 128. With q_len < kv_len the last query sees all keys (bottom-right),
// which is what a context-parallel rank's chunk needs against the keys up to its end. kv_parts = 1,
// no window.
#pragma once
#include <memory>
#include <string>

#include "profiler/cuda/status.hpp"
#include "profiler/kernels/attention.hpp"

namespace meshplan::cuda {

/// Can cuDNN do this shape, by the rules above?
bool cudnn_takes(const cpu::AttentionShape& shape, DType type);

class CudnnAttention {
 public:
  /// Error (missing): no cuDNN at build or at run time.
  static Result<std::unique_ptr<CudnnAttention>> make();
  virtual ~CudnnAttention() = default;

  /// The first call of a shape builds its graph (a second or two). Workspace grows to the largest
  /// need and is reused: one stream at a time.
  virtual Status forward(cudaStream_t stream, const cpu::AttentionShape& shape, const void* q,
                         const void* k, const void* v, void* o, float* lse) = 0;
  /// deterministic: the same bits each time, more memory and about a tenth slower.
  virtual Status backward(cudaStream_t stream, const cpu::AttentionShape& shape, bool deterministic,
                          const void* q, const void* k, const void* v, const void* o,
                          const float* lse, const void* d_o, void* dq, void* dk, void* dv) = 0;
  virtual int64_t workspace_bytes() const = 0;
};

/// Builds the graph of a shape for a GPU that is described in cuDNN's JSON instead of being there,
/// up to the choice of kernels: how many does cuDNN offer? Error: the graph is not supported
/// (cuDNN's words), or missing.
struct GraphQuestion {
  cpu::AttentionShape shape;
  bool backward = false, deterministic = false;
};
struct DescribedGpu {
  std::string json;            ///< as cuDNN keeps the properties of a device
  int compute_capability = 0;  ///< 90 for 9.0
};
Result<int64_t> attention_engines(const GraphQuestion& question, const DescribedGpu& gpu);
/// A Hopper SXM GPU with `sms` multiprocessors.
DescribedGpu described_hopper(int sms);

}  // namespace meshplan::cuda
