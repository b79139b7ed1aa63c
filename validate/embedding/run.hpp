// SPDX-License-Identifier: Apache-2.0
// Train a graph workload here: import, all passes with checkpoints, evaluation; what was counted
// against what the program says.
#pragma once
#include <optional>

#include "costmodel/step/step.hpp"
#include "profiler/comm/world.hpp"
#include "validate/embedding/evaluate.hpp"
#include "validate/embedding/import.hpp"
#include "validate/embedding/pbg/state.hpp"
#include "validate/embedding/rank_train.hpp"

namespace meshplan::graph {

/// Devices that train in place of threads.
struct DeviceMaker {
  std::function<Status()> present;  ///< is there one at all? Asked before the import.
  std::function<Result<std::unique_ptr<GraphDevice>>(int rank)> make;  ///< on the rank's thread
};

struct RunOptions {
  GraphPlan plan;
  ThreadMode threads;
  uint64_t seed = 1;
  std::string folder;      ///< of partitions and checkpoints; empty: a temporary one
  int64_t save_every = 1;  ///< passes between checkpoints of what stays in memory; 0: never
  bool resume = false;
  EvaluateOptions evaluate;
  std::string evaluate_on = "test";                ///< "test", "valid" or "none"
  int64_t evaluate_every = 0;                      ///< epochs; 0: after the last one
  std::string export_tsv, export_npy, export_pbg;  ///< folders; empty: not wanted
  PbgFolders start_pbg;  ///< rows and operators to begin with; empty: drawn
  WorldOptions world;
  /// This process is one rank, see launched_world.hpp. Each reads the graph; all use rank 0's
  /// folder.
  bool processes = false;
  std::optional<DeviceMaker> device;  ///< empty: threads train
};

struct PassLine {
  int64_t version = 0;
  PassReport report;  ///< summed over ranks; seconds and peak: the largest
  std::optional<Evaluation> evaluation;
};

struct RunAnswer {
  int rank = 0;       ///< of a process that is one
  Workload workload;  ///< with counts
  GraphPlan plan;
  double import_s = 0;
  int64_t imported_edges = 0;
  int64_t resumed_at = 0;
  std::optional<PbgRead> taken_over;  ///< of PyTorch-BigGraph's checkpoint
  std::vector<PassLine> passes;
  Traffic expected;  ///< of one pass, all ranks
  bool traffic_equal = true;
  int64_t expected_table_bytes = 0, table_bytes = 0;  ///< of the fullest rank
  std::optional<Evaluation> evaluation;
  double evaluate_s = 0;

  std::vector<Part> memory;  ///< bytes that all processes should hold at most while they train
  int64_t peak_bytes = 0;    ///< what they held, as the system counts; 0: it does not say
  std::string device;        ///< that trained; empty: threads
  int64_t device_bytes = 0;  ///< that it allocated at most
  int64_t expected_device_bytes = 0;
  int64_t resident_bytes = 0;  ///< of rank 0's, the most since its start: of the import, too
  int64_t expected_bytes() const {
    double sum = 0;
    for (const Part& part : memory) sum += part.value;
    return static_cast<int64_t>(sum);
  }
};

/// Called after every pass, on rank 0.
using Progress = std::function<void(const PassLine&)>;

/// Ranks are threads of this process, or this process is one of them (`options.processes`): the
/// answer is complete on rank 0's. Errors: those of files and of the plan; (usage)
/// of as many processes as the plan has no ranks.
Result<RunAnswer> run(const Workload& workload, const RunOptions& options,
                      const Progress& progress);

/// Whole tables by entity type, from a checkpoint or from memory.
Result<std::vector<Table>> whole_tables(const PartitionStore& store, const Workload& workload,
                                        int64_t version);

}  // namespace meshplan::graph
