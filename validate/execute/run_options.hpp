// SPDX-License-Identifier: Apache-2.0
// How is a plan to be trained here? What the step program leaves open.
#pragma once
#include <functional>

#include "profiler/kernels/optimizer.hpp"
#include "validate/execute/initial.hpp"

namespace meshplan {

/// Mistakes that tests make on purpose, to see that comparisons notice them.
enum class Fault : uint8_t {
  none,
  rope_offset,        ///< under context parallelism every rank counts its positions from 0
  no_norm_reduction,  ///< gradients of norms are not summed over tensor-parallel ranks
  no_data_share,      ///< each data-parallel rank divides its loss by its own tokens alone
};

struct RunOptions {
  int64_t steps = 1;
  InitialWeights initial;
  cpu::AdamW adamw;
  double clip_norm = 1;      ///< 0: no clipping
  int64_t warmup_steps = 0;  ///< linear from 0
  int64_t decay_steps = 0;   ///< cosine from the rate down to final_share of it; 0: constant
  double final_share = 0.1;
  int workers = 1;  ///< threads of a rank's kernels
  /// Experts take an equal, fixed number of each `routing_group` consecutive tokens (GShard's
  /// groups); 0: of all tokens that a rank routes at a time. Equal groups give equal routing under
  /// any plan.
  int64_t routing_group = 0;
  Fault fault = Fault::none;
  /// Called after each operation of the forward pass with every activation it wrote; on the rank's
  /// thread. For tests and inspection.
  std::function<void(const RankPlace& place, const Buffer& buffer, int64_t micro_batch,
                     const float* data)>
      observe;
};

/// Learning rate of step 0, 1, ...: linear warm-up, then half a cosine (Loshchilov and Hutter
/// 2017, eq. 5).
double learning_rate(const RunOptions& options, int64_t step);

}  // namespace meshplan
