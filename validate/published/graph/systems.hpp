// SPDX-License-Identifier: Apache-2.0
// What do the words of a table of published graph runs mean, and what does each system do with a
// batch? validate/published/graph/systems.yaml.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "strategies/embedding/workload.hpp"

namespace meshplan::graph {

struct ModelWords {
  std::string contains;
  bool expressible = false;  ///< by the operators of a graph workload
  Operator op = Operator::none;
  Comparator comparator = Comparator::dot;
};

struct MachineWords {
  std::string contains, gpu;
};

/// What a worker's batch takes; see systems.yaml.
struct System {
  std::string contains;
  int sides = 2;
  bool full_adagrad = false;  ///< a sum per value; else one a row
  int64_t chunks = 0;         ///< 0: as many edges as negatives in each
  double passes = 1;          ///< over the scores, of a fused kernel's one
  double step_s = 0, edge_s = 0;
  double row_bytes_per_s = 0;
  bool workers_share = false;  ///< rows of several workers are in the host's memory
  bool pipelined = false;      ///< stages of batches overlap
  bool hides_storage = false;
  std::string fitted_on;
  std::vector<std::string> fitted;  ///< keys of system_constants()
};

/// What may be fitted of a system, in the units of the file, and between which bounds.
struct SystemConstant {
  std::string key;
  double unit;  ///< of the file, in ours
  double System::*field;
  double lower, upper;
};
const std::vector<SystemConstant>& system_constants();

/// What a source says about all its rows of a data set.
struct SourceFact {
  std::string source, dataset;
  double storage_bytes_per_s = 0;
  int64_t partitions = 0, batch = 0, negatives = 0;  ///< where a row leaves them out
};

struct Systems {
  std::vector<ModelWords> models;
  std::vector<MachineWords> machines;
  std::vector<System> systems;
  std::vector<SourceFact> facts;
  std::vector<std::pair<std::string, int64_t>> training_edges;  ///< by data set
};
Result<Systems> load_systems();

}  // namespace meshplan::graph
