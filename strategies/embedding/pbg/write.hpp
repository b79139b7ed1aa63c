// SPDX-License-Identifier: Apache-2.0
// What does PyTorch-BigGraph have to be told to train this graph by this plan, and what does it
// have no words for? Keys: torchbiggraph/config.py of version 1.0.
#pragma once
#include "strategies/embedding/plan.hpp"

namespace meshplan::graph {

struct PbgLoss {
  std::string what, wanted, written;
};
struct PbgFiles {
  std::string config;           ///< Python file with get_torchbiggraph_config()
  std::string start;            ///< shell script, one call a machine
  std::vector<PbgLoss> losses;  ///< what PBG does instead
};

/// Errors (no_plan): the plan's own rules (check_plan); a batch that its chunks of negatives do not
/// divide; entities with features, which PBG reads from files of its own.
Result<PbgFiles> write_pbg(const Workload& workload, const GraphPlan& plan);

}  // namespace meshplan::graph
