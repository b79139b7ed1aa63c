// SPDX-License-Identifier: Apache-2.0
// What else does a command leave behind: a plan file, a timeline?
#pragma once
#include <string>

#include "costmodel/step/step.hpp"
#include "planner/cli/parse.hpp"
#include "planner/report/question.hpp"

namespace meshplan::cli {

struct OutputFlags {
  std::string save;   ///< plan file
  std::string trace;  ///< timeline as Chrome trace events
};
void add_output_flags(CLI::App& app, OutputFlags& flags);

/// Writes what was asked for; true if a plan file was among it.
/// Errors: input (cannot be written), those of the estimate for the timeline.
Result<bool> save(const OutputFlags& flags, const report::Question& question,
                  const StepEstimate& estimate);

/// "error: no plan fits" on standard error, for a command whose answer says the rest.
void complain_briefly(const std::string& what, const std::string& hint);

}  // namespace meshplan::cli
