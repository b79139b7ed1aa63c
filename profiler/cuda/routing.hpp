// SPDX-License-Identifier: Apache-2.0
// Routing of tokens to experts on the GPU, as profiler/kernels/routing.hpp: softmax over the chosen
// experts (gates that add up to 1), a fixed capacity per group of tokens, moves to and from expert
// order. Pairs p = token * top_k + j. `routing` holds a pair's row, or -1 - expert without room.
// gates, logits and their gradients in fp32; rows of tokens in bf16 or fp32, sums in fp32. Errors
// as in elementwise.hpp.
#pragma once
#include "profiler/cuda/elementwise.hpp"

namespace meshplan::cuda {

struct Routing {
  int64_t tokens = 0, experts = 0, top_k = 1;  ///< top_k at most 32
  int64_t group = 0, capacity = 0;             ///< tokens of a group, rows of an expert in each
  int64_t rows_per_expert() const { return tokens / group * capacity; }
  int64_t rows() const { return experts * rows_per_expert(); }
};

/// gates, expert [tokens, top_k], best first, equal logits by the lower expert.
Status route_forward(cudaStream_t stream, const Routing& shape, const float* logits, float* gates,
                     int32_t* expert);
/// routing from expert: an expert takes pairs in the order of choice, then token.
Status route_rows(cudaStream_t stream, const Routing& shape, const int32_t* expert,
                  int32_t* routing);
/// dlogits [tokens, experts] from dgates [tokens, top_k].
Status route_backward(cudaStream_t stream, const Routing& shape, const float* dgates,
                      const float* gates, const int32_t* routing, float* dlogits);

// x, y, dx, dy [tokens, hidden]; permuted and its gradient [rows, hidden].
/// permuted[row of p] = gates[p] * x[token of p], unfilled rows 0; gates null: 1.
Status dispatch(cudaStream_t stream, const Routing& shape, int64_t hidden, DType type,
                const int32_t* routing, const float* gates, const void* x, void* permuted);
/// y[token] = sum over its pairs of gates[p] * permuted[row of p]; gates null: 1.
Status combine(cudaStream_t stream, const Routing& shape, int64_t hidden, DType type,
               const int32_t* routing, const float* gates, const void* permuted, void* y);
/// dgates[p] = dy[token of p] * permuted[row of p]; 0 without a row.
Status gate_gradient(cudaStream_t stream, const Routing& shape, int64_t hidden, DType type,
                     const int32_t* routing, const void* dy, const void* permuted, float* dgates);

}  // namespace meshplan::cuda
