// SPDX-License-Identifier: Apache-2.0
// How does a plan of a graph workload stand in a file? The workload file with every key, and beside
// it the machine that it was made for and the plan; what takes a workload takes it, too.
#pragma once
#include <optional>

#include "strategies/embedding/plan.hpp"

namespace meshplan::graph {

struct PlannedWorkload {
  Workload workload;
  std::optional<GraphPlan> plan;  ///< none in a mere workload file
  std::string machine;            ///< as it was named
};

/// Errors (input): those of a workload file; of the plan, with line, key and nearest name.
Result<PlannedWorkload> read_planned(const std::string& path);
Result<PlannedWorkload> parse_planned(const std::string& text, const std::string& name);

/// read_planned gives the same back, from whatever folder: paths are made absolute.
std::string to_yaml(const PlannedWorkload& planned);

}  // namespace meshplan::graph
