// SPDX-License-Identifier: Apache-2.0
// Causal attention on the CPU without a matrix of scores in memory: tiles with a running maximum
// and sum (FlashAttention, Dao et al. 2022, algorithms 1 and 4), products by BLAS.
//
// Shapes (row-major): q, o, dq [batch * q_len, heads * head_dim(_v)], k, v and their gradients
// [kv rows, kv_heads * head_dim(_v)], lse [batch * q_len, heads]. Head h reads key head
// h / (heads / kv_heads). The mask goes by positions in the whole sequence, given per row and equal
// for all sequences of the batch: key j is seen by query i if kv_position[j] <= q_position[i] and,
// with a window w > 0, q_position[i] - kv_position[j] < w. So the same kernel serves one rank,
// context parallelism by all-gather and a block of ring attention.
#pragma once
#include <cstdint>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

struct AttentionShape {
  int64_t batch = 1, q_len = 0, kv_len = 0;
  int64_t heads = 1, kv_heads = 1, head_dim = 0, head_dim_v = 0;
  int64_t window = 0;  ///< 0: all earlier positions
  /// An all-gather over `kv_parts` ranks leaves k and v as [kv_parts, batch, kv_len / kv_parts,
  /// ...]; kv_position is then in that order of the parts.
  int64_t kv_parts = 1;
  double scale = 0;  ///< of the scores; 0: 1 / sqrt(head_dim)
};

/// o = softmax(scale q k^T) v, lse = log of the sum of exponentials per row and head. Rows that see
/// no key get o = 0 and lse = -infinity.
template <class T>
void attention_forward(Workers& workers, const AttentionShape& shape, const int32_t* q_position,
                       const int32_t* kv_position, const T* q, const T* k, const T* v, T* o,
                       T* lse);

/// Gradients (set or added to) for the o and lse of the forward pass over ALL keys: called per
/// block of a ring with the merged o and lse, the results add up.
template <class T>
void attention_backward(Workers& workers, const AttentionShape& shape, const int32_t* q_position,
                        const int32_t* kv_position, const T* q, const T* k, const T* v, const T* o,
                        const T* lse, const T* d_o, Write write_q, T* dq, Write write_kv, T* dk,
                        T* dv);

/// Joins the attention over two disjoint sets of keys: (o, lse) <- (o, lse) and (o_block,
/// lse_block) (Ring Attention, Liu et al. 2023). rows = batch * q_len.
template <class T>
void attention_merge(Workers& workers, int64_t rows, int64_t heads, int64_t head_dim_v,
                     const T* o_block, const T* lse_block, T* o, T* lse);

}  // namespace meshplan::cpu
