// SPDX-License-Identifier: Apache-2.0
// What does less memory cost in time? The Pareto set of step time and memory of a question.
#pragma once
#include <vector>

#include "planner/search/search.hpp"

namespace meshplan {

/// `best` and, one after another, the best plan that needs at most kParetoStep of the memory of the
/// one before (epsilon-constraint method: a whole search each), until none is left or its step
/// takes kParetoSlowest times as long. Memory falls from plan to plan; a plan that a later one
/// beats in time as well is left out (a search recommends the simplest of ties, so that can happen
/// within the tie). Errors as in search().
Result<std::vector<StepEstimate>> pareto_set(const SearchQuestion& question,
                                             const StepEstimate& best);
constexpr double kParetoStep = 0.9, kParetoSlowest = 1.5;

}  // namespace meshplan
