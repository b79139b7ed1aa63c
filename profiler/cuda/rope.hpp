// SPDX-License-Identifier: Apache-2.0
// Splits the fused projection into q, k, v and turns q and k by their positions, on the GPU, in one
// pass. Half-split order and tables as in profiler/kernels/rope.hpp, whose rope_table (with Llama
// 3.1 scaling) makes them on the host.
//
// forward: qkv [tokens, (heads + 2 kv_heads) head_dim] -> q [tokens, heads head_dim], k and v
// [tokens, kv_heads head_dim]; backward: the gradients the other way, turned by the negative angle.
// bf16 or fp32; position [tokens], cosine, sine [positions, head_dim / 2] in fp32.
// Error: head_dim odd; else as in elementwise.hpp.
#pragma once
#include "profiler/cuda/status.hpp"
#include "profiler/kernels/rope.hpp"

namespace meshplan::cuda {

struct RopeShape {
  int64_t tokens = 0, heads = 0, kv_heads = 0, head_dim = 0;
  bool rotate = true;  ///< false: split only
};

/// The side that is read is const in spirit: qkv forward; q, k, v backward.
Status rope_split(cudaStream_t stream, cpu::Turn turn, const RopeShape& shape, DType type,
                  const int32_t* position, const float* cosine, const float* sine, void* qkv,
                  void* q, void* k, void* v);

}  // namespace meshplan::cuda
