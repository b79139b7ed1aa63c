// SPDX-License-Identifier: Apache-2.0
// Which plan trains this graph fastest on this machine: how many partitions, how many of them on a
// device, in which order, on how many devices, and where do the others wait?
//
// Every plan of the axes is visited: refused by a rule, out of memory, bounded (by its lower bound
// it cannot beat a simpler plan by more than predictions can tell) or priced. The same answer every
// time.
#pragma once
#include <optional>

#include "costmodel/graph/epoch.hpp"
#include "planner/search/search.hpp"

namespace meshplan::graph {

struct GraphQuestion {
  Workload workload;  ///< with counts
  GraphMachine machine;
  AxisRange partitions, resident, ranks;  ///< open: powers of two, squares for `cover`
  std::vector<Order> orders;              ///< empty: all
  std::vector<Home> homes;                ///< empty: all that the machine has
  std::vector<DType> compute = {DType::fp32};
  int threads = 1;  ///< of a rank, on CPUs
  bool bounds = true;
  int top_k = 5;
};

/// Why there is no plan.
struct GraphNone {
  std::string rule;               ///< "memory", or the rule that refused most
  std::optional<GraphPlan> plan;  ///< nearest to fitting
  int64_t needed_bytes = 0, capacity_bytes = 0;
};

struct GraphAnswer {
  Funnel funnel;
  std::vector<EpochEstimate> plans;  ///< best first; of ties the simplest
  std::vector<bool> tie;
  std::optional<GraphNone> none;  ///< set when plans is empty
};

/// Errors: those of the machine's tables.
Result<GraphAnswer> search(const GraphQuestion& question);

}  // namespace meshplan::graph
