// SPDX-License-Identifier: Apache-2.0
// Softmax over a matrix of scores in memory (materialised attention) on the CPU, with scale and
// causal mask. scores, probabilities and their gradients [blocks * q_len, kv_len], one block per
// sequence and head; the mask goes by positions as in attention.hpp.
#pragma once
#include <cstdint>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

struct SoftmaxShape {
  int64_t blocks = 1, q_len = 0, kv_len = 0;
  double scale = 1;
  int64_t window = 0;
};

/// p = softmax(scale * scores) over the keys that each query sees, 0 elsewhere; p may be scores.
template <class T>
void softmax_forward(Workers& workers, const SoftmaxShape& shape, const int32_t* q_position,
                     const int32_t* kv_position, const T* scores, T* p);

/// dscores = scale * p * (dp - sum of p * dp over the row); dscores may be dp.
template <class T>
void softmax_backward(Workers& workers, const SoftmaxShape& shape, const T* dp, const T* p,
                      T* dscores);

}  // namespace meshplan::cpu
