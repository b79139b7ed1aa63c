// SPDX-License-Identifier: Apache-2.0
// How do explanations and comparisons of plans read?
#pragma once
#include "costmodel/step/sources.hpp"
#include "planner/explain/explain.hpp"
#include "planner/report/estimate.hpp"

namespace meshplan::report {

struct Explanation {
  StepEstimate estimate;
  std::vector<Elasticity> elasticities;
  std::vector<TimeSource> sources;
  std::vector<Alternative> neighbours;
  std::vector<Alternative> why_not;
};

/// Time of one step from the top: what arithmetic at peak speed would take, and what comes on top
/// of it. Sums to the step.
std::vector<Part> top_down(const StepEstimate& estimate);

std::string to_text(const Explanation& explanation, const Question& question);
Json to_json(const Explanation& explanation, const Question& question);

/// Two plans side by side, part by part.
std::string compared(const StepEstimate& a, const StepEstimate& b);

}  // namespace meshplan::report
