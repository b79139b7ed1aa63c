// SPDX-License-Identifier: Apache-2.0
// PyTorch-BigGraph's configuration file as a graph workload (keys and defaults:
// torchbiggraph/config.py and the documentation's "Configuration" page of version 1.0.1).
#pragma once
#include "strategies/embedding/plan.hpp"

namespace meshplan::graph {

struct PbgConfig {
  Workload workload;
  GraphPlan plan;                   ///< num_partitions, num_machines, bucket_order, workers
  std::vector<std::string> unread;  ///< what could not be read without running the file
  std::vector<std::string> notes;   ///< what has no counterpart here, and what was filled in
};

/// Counts of entities and dynamic relations are taken from entity_path where its files are there.
/// Errors (input): no configuration in the file; what meshplan can't train (named).
Result<PbgConfig> read_pbg_config(const std::string& path);
Result<PbgConfig> parse_pbg_config(const std::string& text, const std::string& path);

}  // namespace meshplan::graph
