// SPDX-License-Identifier: Apache-2.0
// Which experts does a token go to, with what weight, and where do its rows stand? Top-k routing by
// softmax (Shazeer et al. 2017; Mixtral, Jiang et al. 2024) and the moves to and from expert order,
// on the CPU. Pairs p = token * top_k + j, j the rank of the choice.
#pragma once
#include <cstdint>
#include <vector>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

struct RouteShape {
  int64_t tokens = 0, experts = 0, top_k = 1;
  bool normalise = true;  ///< the gates of a token add up to 1 (Mixtral); else plain probabilities
};

/// gates, expert [tokens, top_k], best first, equal logits by the lower expert; probabilities
/// [tokens, experts] of the softmax over all experts.
template <class T>
void route_forward(Workers& workers, const RouteShape& shape, const T* logits, T* gates,
                   int32_t* expert, T* probabilities);

/// dlogits [tokens, experts] from dgates [tokens, top_k]. probabilities may be null if normalised:
/// the gates are then a softmax over the chosen experts alone.
template <class T>
void route_backward(Workers& workers, const RouteShape& shape, const T* dgates, const T* gates,
                    const int32_t* expert, const T* probabilities, T* dlogits);

/// Fixed capacity (GShard, Lepikhin et al. 2020, algorithm 1): within each group of `group` tokens
/// an expert takes at most `capacity` pairs, in the order of choice and then of tokens; the rest is
/// dropped. Groups rather than all tokens of a rank, so that what is dropped does not depend on how
/// tokens lie on ranks. Rows [experts, tokens / group, capacity]; row of a dropped pair: -1.
std::vector<int32_t> rows_of_fixed_capacity(const RouteShape& shape, int64_t group,
                                            int64_t capacity, const int32_t* expert);

/// Dropless: expert after expert, within one by pair. counts: rows per expert.
std::vector<int32_t> rows_of_dropless(const RouteShape& shape, const int32_t* expert,
                                      std::vector<int64_t>* counts);

// x, y, dx, dy [tokens, hidden]; permuted and its gradient [rows, hidden]; row [tokens * top_k].

/// permuted[row[p]] = x[token of p]; rows that no pair fills are 0.
template <class T>
void dispatch_forward(Workers& workers, int64_t tokens, int64_t top_k, int64_t rows, int64_t hidden,
                      const int32_t* row, const T* x, T* permuted);
/// dx[token] = sum over its pairs of dpermuted[row[p]].
template <class T>
void dispatch_backward(Workers& workers, int64_t tokens, int64_t top_k, int64_t hidden,
                       const int32_t* row, const T* dpermuted, T* dx);
/// y[token] = sum over its pairs of gates[p] * permuted[row[p]].
template <class T>
void combine_forward(Workers& workers, int64_t tokens, int64_t top_k, int64_t hidden,
                     const int32_t* row, const T* gates, const T* permuted, T* y);
/// dpermuted[row[p]] = gates[p] * dy[token] (unfilled rows 0), dgates[p] = dy[token] *
/// permuted[row[p]].
template <class T>
void combine_backward(Workers& workers, int64_t tokens, int64_t top_k, int64_t rows, int64_t hidden,
                      const int32_t* row, const T* gates, const T* permuted, const T* dy,
                      T* dpermuted, T* dgates);

}  // namespace meshplan::cpu
