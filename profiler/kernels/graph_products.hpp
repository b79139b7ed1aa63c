// SPDX-License-Identifier: Apache-2.0
// The three matrix products of one side of a chunk: scores, and the gradients of queries and
// candidates. In fp32 by BLAS, or with operands rounded to bf16 and sums in fp32.
#pragma once
#include <cstdint>
#include <vector>

#include "topologies/base/dtype.hpp"

namespace meshplan::cpu {

/// q [queries, cols], k [candidates, cols], rows q_stride and k_stride apart.
struct Pairs {
  DType type = DType::fp32;  ///< of the operands; bf16, all else in fp32
  int64_t queries = 0, candidates = 0, cols = 0;
  const float *q = nullptr, *k = nullptr;
  int64_t q_stride = 0, k_stride = 0;
};

/// Rounded operands of one worker, kept from the scores for the gradients.
struct PairSpace {
  std::vector<uint16_t> q, k, g;
  std::vector<float> wide;
};

/// out [queries, candidates] = q k^T, rows `stride` apart.
void pair_scores(const Pairs& pairs, PairSpace& space, int64_t stride, float* out);

/// dq = factor g k, dk = factor g^T q after the scores of the same pairs; rows of g
/// [queries, candidates] are `stride` apart, those of dq and dk `d_stride`.
void pair_gradients(const Pairs& pairs, PairSpace& space, float factor, const float* g,
                    int64_t stride, float* dq, float* dk, int64_t d_stride);

}  // namespace meshplan::cpu
