// SPDX-License-Identifier: Apache-2.0
// Causal attention on the GPU by plain kernels of one warp per query (or key) and head: any
// positions, any number of keys, no tensor cores. The second path beside cuDNN (attention.hpp):
// what cuDNN refuses, blocks of a ring, and the oracle that cuDNN is compared with.
//
// Shapes, masks and results as in profiler/kernels/attention.hpp; q, k, v, o and their gradients in
// bf16 or fp32, lse in fp32, positions in int32 on the device. head_dim and head_dim_v at most 256.
// Error: a larger head_dim (rule cuda.arguments); else as in elementwise.hpp.
#pragma once
#include "profiler/cuda/status.hpp"
#include "profiler/kernels/attention.hpp"

namespace meshplan::cuda {

Status attention_simple_forward(cudaStream_t stream, const cpu::AttentionShape& shape,
                                const int32_t* q_position, const int32_t* kv_position, DType type,
                                const void* q, const void* k, const void* v, void* o, float* lse);

/// Gradients, set or added to, as in profiler/kernels/attention.hpp.
Status attention_simple_backward(cudaStream_t stream, const cpu::AttentionShape& shape,
                                 const int32_t* q_position, const int32_t* kv_position, DType type,
                                 const void* q, const void* k, const void* v, const void* o,
                                 const float* lse, const void* d_o, cpu::Write write_q, void* dq,
                                 cpu::Write write_kv, void* dk, void* dv);

/// (o, lse) <- attention over both sets of keys; rows = batch * q_len.
Status attention_merge(cudaStream_t stream, int64_t rows, int64_t heads, int64_t head_dim_v,
                       DType type, const void* o_block, const float* lse_block, void* o,
                       float* lse);

}  // namespace meshplan::cuda
