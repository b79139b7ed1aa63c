// SPDX-License-Identifier: Apache-2.0
// Which plans of a question's space are like those that were best elsewhere?
#pragma once
#include <utility>
#include <vector>

#include "planner/search/axes.hpp"

namespace meshplan {

/// Each seed as it is if it has the right number of GPUs, else with its dp, pp, tp or cp scaled to
/// them; only plans that the search enumerates for this question (rules and memory are not asked),
/// none twice.
std::vector<std::pair<PassChoice, Plan>> plans_like(const SearchQuestion& question);

}  // namespace meshplan
