// SPDX-License-Identifier: Apache-2.0
// The update at the end of a step on the CPU: AdamW (Loshchilov and Hutter 2019, algorithm 2, in
// the form that PyTorch computes) on this rank's shard, and clipping by the global norm (Pascanu et
// al. 2013).
#pragma once
#include <cstdint>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

struct AdamW {
  double learning_rate = 3e-4;
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  ///< 0 for parameters without decay
};

/// One step, number `step` = 1, 2, ...: with g = gradient_factor * gradient
///   w -= rate * decay * w;  m += (1 - b1) (g - m);  v = b2 v + (1 - b2) g^2
///   w -= rate * (m / (1 - b1^step)) / (sqrt(v / (1 - b2^step)) + epsilon)
/// All [count], fp32: w is the master copy.
void adamw_step(Workers& workers, const AdamW& adamw, int64_t step, double gradient_factor,
                int64_t count, const float* gradient, float* weight, float* first, float* second);

/// min(1, limit / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_; limit 0: no clipping.
double clip_factor(double norm, double limit);

}  // namespace meshplan::cpu
