// SPDX-License-Identifier: Apache-2.0
// How does the answer of a search read: the best plans, how they were found, or why there is none?
#pragma once
#include "planner/report/estimate.hpp"
#include "planner/search/search.hpp"

namespace meshplan::report {

/// Plans, ties, funnel; for no plan the tightest constraint.
std::string to_text(const SearchResult& result, const Question& question);
/// The contract's document of `plan`. Only "run" differs between two runs.
Json to_json(const SearchResult& result, const Question& question);

}  // namespace meshplan::report
