// SPDX-License-Identifier: Apache-2.0
// What does one side of a chunk of edges lose, and what is the gradient of every score?
#pragma once
#include <cstdint>

#include "strategies/embedding/workload.hpp"

namespace meshplan::cpu {

struct LossRows {
  graph::Loss loss = graph::Loss::softmax;
  float margin = 0;
  bool mask_batch = false;       ///< other edges' ends are no negatives: columns j < edges, j != i
  const int32_t* ids = nullptr;  ///< entities of the columns; the answer's are no negatives
  bool own = false;              ///< the last column is the edge's other end
  const uint8_t* loops = nullptr;  ///< [edges], with `own`: both ends are one entity, no negative
  const float* weights = nullptr;  ///< [edges]; null: all 1
  float scale = 1;                 ///< of all weights
};

/// scores [edges, candidates], rows `stride` apart, becomes the gradient of the loss with respect
/// to it; what lies behind a row is written too, so that its vectors are whole ones. Column i of
/// row i is the positive score. Returns the loss, summed. With n negatives t_j, positive s:
/// softmax -s + log(e^s + sum e^t); logistic log(1 + e^-s) + sum log(1 + e^t) / candidates; ranking
/// sum max(0, margin - s + t).
double loss_gradient(const LossRows& rows, int64_t edges, int64_t candidates, int64_t stride,
                     float* scores);

}  // namespace meshplan::cpu
