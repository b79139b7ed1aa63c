// SPDX-License-Identifier: Apache-2.0
// How does the estimate of one plan read, for people and for programs?
#pragma once
#include "costmodel/step/step.hpp"
#include "planner/report/question.hpp"

namespace meshplan::report {

/// The contract's PLAN.
Json to_json(const StepEstimate& estimate, const Question& question);
Json to_json(const Plan& plan, const Batch& batch);

/// What keeps `meshplan validate run` from executing the plan; empty: nothing.
std::vector<std::string> not_run(const StepEstimate& estimate, const Question& question);

/// The same as a line "priced only: ..."; empty: nothing.
std::string not_run_text(const StepEstimate& estimate, const Question& question, int indent);

/// Verdict, how the degrees multiply, time and memory beside each other, what limits it.
std::string to_text(const StepEstimate& estimate, const Question& question);

/// "assumed" and "not modelled", wrapped; empty lists are left out.
std::string caveats(const StepEstimate& estimate);

/// "optimizer states" -> "optimizer_states": names of parts as keys.
std::string key_of(const std::string& name, const char* unit);

/// One plan as a cell of a table: to_text(plan) without what is 1 or off.
std::string brief(const Plan& plan);

}  // namespace meshplan::report
