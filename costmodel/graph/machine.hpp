// SPDX-License-Identifier: Apache-2.0
// What does a graph workload run on: GPUs of a cluster, or the cores of a computer whose kernels
// were timed? The rates of one rank, from the same tables that price every other step program.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "costmodel/cpu/cpu_profile.hpp"
#include "costmodel/step/cost_model.hpp"
#include "strategies/embedding/plan.hpp"

namespace meshplan::graph {

/// Seconds of one operation, by what it keeps busy.
struct OpTime {
  double products_s = 0, rest_s = 0;  ///< of a bucket; rest: losses, rows, launches
  double move_s = 0;                  ///< of a partition or a collective
  double seconds() const { return products_s + rest_s + move_s; }
};

struct GraphMachine {
  std::string name;
  int64_t devices = 1;           ///< ranks that it can take
  int64_t devices_per_node = 1;  ///< they share the node's memory and disks
  int64_t device_bytes = 0;      ///< memory where rows are trained; 0: not known
  int64_t host_bytes = 0;        ///< of a node, for rows that no device holds; 0: there is none
  bool is_cpu = false;           ///< devices are cores of one computer, threads of one rank
  std::vector<std::string> assumed, source;

  /// Prices of a plan's operations; a computer's depend on the size of the tables.
  using Pricer = std::function<OpTime(const Op&)>;
  std::function<Result<Pricer>(const Workload&, const GraphPlan&)> pricer;
};

/// GPUs: measured tables of the GPU and its fabric. `storage_bytes_per_s`: of one node's disks.
Result<GraphMachine> machine_of(const Cluster& cluster, double storage_bytes_per_s);
/// The computer of a CPU profile. Error (input): it was written without kernels of graphs.
Result<GraphMachine> machine_of(const CpuProfile& profile);

/// What is taken where nothing is known of a node's disks, costmodel/data/graph.yaml.
struct GraphAssumptions {
  double storage_bytes_per_s = 0;
  std::vector<std::string> source;
};
Result<GraphAssumptions> load_graph_assumptions();

}  // namespace meshplan::graph
