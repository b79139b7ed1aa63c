// SPDX-License-Identifier: Apache-2.0
// What are the times of a step's kernels and messages based on, and how sure is each of them?
#pragma once
#include <vector>

#include "costmodel/step/cost_model.hpp"

namespace meshplan {

/// All kernels and messages whose times are based on the same kind of figure.
struct TimeSource {
  Provenance provenance = Provenance::assumed;
  double share = 0;           ///< of the seconds of all kernels and messages, hidden ones too
  double relative_error = 0;  ///< one standard deviation of such a time, mean by seconds; 0: not
                              ///< known (rates of a datasheet)
};

/// Of a whole step of all stages, surest first; shares sum to 1. Transfers between pipeline stages
/// are left out, gathers of each round of an interleaved schedule count once. Errors: no_plan of
/// lay_out_blocks, usage of a rank order.
Result<std::vector<TimeSource>> time_sources(const CostModel& costs, const LowerContext& lower);

}  // namespace meshplan
