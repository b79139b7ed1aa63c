// SPDX-License-Identifier: Apache-2.0
// How long is an epoch of a graph workload under a plan, where does the time go, does it fit?
//
// Ranks follow the rounds of the step program. With prefetch, a rank's own loads for the next round
// and stores of the last one run beside its training, on one path to storage; exchanges between
// ranks and of shared parameters stand between rounds, and every round ends when its slowest rank
// has done (validate/embedding/rank_train follows the same order).
#pragma once
#include "costmodel/graph/machine.hpp"
#include "costmodel/step/step.hpp"
#include "strategies/embedding/ledger.hpp"

namespace meshplan::graph {

struct EpochEstimate {
  GraphPlan plan;
  double epoch_s = 0;
  std::vector<Part> time;  ///< seconds of the mean rank; sums to epoch_s
  double edges_per_s = 0;
  Traffic traffic;  ///< of all ranks and passes of an epoch

  int64_t peak_memory_bytes = 0;  ///< of the fullest device
  int64_t capacity_bytes = 0;     ///< 0: not known
  std::vector<Part> memory;       ///< bytes; sums to peak_memory_bytes
  int64_t host_memory_bytes = 0;  ///< of the fullest node, rows that wait there
  int64_t host_capacity_bytes = 0;
  bool fits = true;
  int64_t machines = 1;  ///< nodes
  std::string limited_by;
};

/// Bytes of a device without its rows: edges, scratch, operators.
struct BesideRows {
  int64_t edges = 0, workspace = 0, operators = 0;
  int64_t total() const { return edges + workspace + operators; }
};
BesideRows beside_rows(const Workload& workload, const GraphPlan& plan,
                       const GraphMachine& machine);

/// What the fullest device holds at most under the program, by kind; a computer's ranks together.
std::vector<Part> memory_parts(const Workload& workload, const GraphProgram& program,
                               const GraphMachine& machine);

/// Least memory of any device under the plan, without lowering it: the resident partitions. Never
/// above the estimate's.
int64_t least_memory(const Workload& workload, const GraphPlan& plan, const GraphMachine& machine);

/// Errors: the plan's (no_plan).
Result<EpochEstimate> estimate_epoch(const Workload& workload, const GraphPlan& plan,
                                     const GraphMachine& machine);
/// With the edges of every bucket as they are, in place of evenly spread ones.
Result<EpochEstimate> estimate_epoch(const Workload& workload, const GraphPlan& plan,
                                     const GraphMachine& machine, const BucketEdges& edges);

/// What an epoch takes at least: ranks that never wait, and as few loads as any order can do with
/// the resident partitions (Mohoney et al., Marius, OSDI 2021, section 4.2). Never above the
/// estimate's.
double least_epoch_s(const Workload& workload, const GraphPlan& plan,
                     const std::function<OpTime(const Op&)>& price);

}  // namespace meshplan::graph
