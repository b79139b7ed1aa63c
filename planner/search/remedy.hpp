// SPDX-License-Identifier: Apache-2.0
// When nothing fits: how many more GPUs of this kind would make a plan fit?
#pragma once
#include <optional>

#include "planner/search/search.hpp"

namespace meshplan {

struct Remedy {
  int64_t gpus = 0;
  StepEstimate plan;  ///< the fastest that fits on them
};

/// Searches 2, 3, 4, 6, 8, 12, ... times the GPUs, up to 256 times and 262,144, under the same
/// constraints; `result` is the answer without a plan, whose need of memory tells where to begin.
/// Nothing if a rule and not memory is in the way, or none of these fits.
std::optional<Remedy> more_gpus(const SearchQuestion& question, const SearchResult& result);

}  // namespace meshplan
