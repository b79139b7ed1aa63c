// SPDX-License-Identifier: Apache-2.0
// Which plan trains this model fastest on this cluster, among all that the constraints leave open?
//
// Every complete strategy is visited: refused by a rule, out of memory, bounded (a lower bound of
// its time is above what is already known to be reachable) or priced. The result does not depend on
// the number of threads.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "costmodel/step/step.hpp"
#include "strategies/model/model.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan {

class CostModel;

/// Plans this close are a tie: what the order of plans on one machine is uncertain by (mean regret
/// of the order in `meshplan validate published`), much less than the error of one estimate.
constexpr double kTie = 0.02;

/// Values an axis may take: explicit ones, or everything in [first, last]; empty = left open.
struct AxisRange {
  std::vector<int64_t> values;
  int64_t first = 0, last = 0;  ///< last 0: no upper end
  bool open() const { return values.empty() && first == 0 && last == 0; }
  bool allows(int64_t value) const;
};

struct SearchQuestion {
  Model model;
  Cluster cluster;
  Batch batch;
  Trainer trainer;
  AxisRange tp, pp, vpp, cp, ep, etp, dp, dp_shard, zero, micro_batch;
  std::vector<Recompute> recompute;       ///< empty: all
  std::vector<ScheduleKind> schedules;    ///< empty: all that the trainer offers
  std::vector<ContextParallel> cp_kinds;  ///< empty: all that the trainer offers
  std::optional<bool> sequence_parallel, reshard_after_forward, optimizer_offload;
  std::vector<int> layer_split;
  DType compute = DType::bf16;
  /// Plans that were best elsewhere (fewer GPUs, another batch). Those like them that this question
  /// allows are priced first, so that the bounds cut from the start; the answer is the same.
  std::vector<Plan> seeds;
  int keep_free_percent = 0;  ///< of each GPU's memory, that a plan must leave
  int top_k = 5;
  bool bounds = true;  ///< false: price every plan that fits
  int threads = 1;
};

struct Funnel {
  int64_t visited = 0;                     ///< = refused + out_of_memory + bounded + priced
  std::map<std::string, int64_t> refused;  ///< by rule
  int64_t out_of_memory = 0;
  int64_t bounded = 0;
  int64_t priced = 0;
  int64_t covered = 0;  ///< visited and what was cut in bulk
};

/// Why there is no plan: of the plans that no rule refuses, the one that needs least memory.
struct TightestConstraint {
  std::string rule;          ///< "memory", or the rule that refused most
  std::optional<Plan> plan;  ///< nearest to fitting
  int64_t needed_bytes = 0, capacity_bytes = 0;
  std::string smallest_change;  ///< in words
};

struct SearchResult {
  Funnel funnel;
  std::vector<StepEstimate> plans;   ///< best first; those within the error band are ties
  std::vector<bool> tie;             ///< plans[i] is within the error band of plans[0]
  std::vector<StepEstimate> pareto;  ///< step time against memory, where asked for (pareto.hpp)
  std::optional<TightestConstraint> none;  ///< set when plans is empty
  std::vector<Plan> finalists;             ///< seeds for a like question
  int keep_free_percent = 0;               ///< as asked
  double search_s = 0;
  int threads = 1;
};

/// What one search leaves to the next: measured tables, and priced blocks as long as model,
/// trainer, GPU, sequence and number format stay. Answers are the same with and without.
class SearchMemory {
 public:
  SearchMemory();
  ~SearchMemory();
  /// With the measured tables that are already there. Error (input): a file is missing or bad.
  Result<std::shared_ptr<const CostModel>> costs(const Cluster& cluster);
  struct Kept;
  Kept& kept() { return *kept_; }

 private:
  std::unique_ptr<Kept> kept_;
};

/// Errors: no_plan (a constraint leaves no combination at all), input (calibration files missing).
Result<SearchResult> search(const SearchQuestion& question);
Result<SearchResult> search(const SearchQuestion& question, SearchMemory& memory);

}  // namespace meshplan
