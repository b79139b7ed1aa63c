// SPDX-License-Identifier: Apache-2.0
// Which plan does a partly stated one stand for? Degrees that are not given are 1 and dp is what is
// left; every other knob that is left open is tried, and the fastest plan that fits is taken: what
// people who tune a run end up with. If none fits, the one that needs least memory.
#pragma once
#include <string>

#include "costmodel/step/step.hpp"
#include "planner/cli/plan_flags.hpp"

namespace meshplan::cli {

struct OpenKnobs {
  std::string left_open;  ///< "micro-batch, vpp, zero"; empty: the plan was complete
  int64_t alternatives = 0, refused = 0, fitting = 0;
  double fastest_s = 0, median_s = 0, slowest_s = 0;  ///< of those that fit
};

/// A plan file's strategy counts as given; flags go before it.
/// Errors: usage (a list or range where one value is needed), no_plan (a rule refuses it).
Result<StepEstimate> settle(const report::Question& question, const PlanFlags& flags,
                            OpenKnobs& open);

}  // namespace meshplan::cli
