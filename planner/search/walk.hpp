// SPDX-License-Identifier: Apache-2.0
// What becomes of every strategy below one choice of tp, cp and ep? One unit of the search's work;
// units share nothing, so their order and their threads do not matter.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "costmodel/step/estimate.hpp"
#include "planner/search/axes.hpp"
#include "strategies/rules/rules.hpp"

namespace meshplan {

struct Candidate {
  double seconds;  ///< by closed form
  Plan plan;
};

struct WalkResult {
  Funnel funnel;
  std::vector<Candidate> best;  ///< ascending, at most as many as asked for
  std::optional<Plan> leanest;  ///< legal plan with the smallest need of memory
  int64_t leanest_bytes = 0;
};

struct WalkLimits {
  double cutoff_s = 0;  ///< plans whose lower bound is above this are not priced; infinity: none
  size_t keep = 64;
  bool coarse = false;  ///< a sample of the axes, to find a first cutoff
};

class Walk {
 public:
  Walk(const SearchQuestion& question, const CostModel& costs, const RuleChecker& rules);
  WalkResult run(const PassChoice& choice, const WalkLimits& limits);
  /// Seconds that no plan of the unit undercuts.
  double unit_bound(const PassChoice& choice);

 private:
  struct Passes {  ///< priced passes by the order of the kinds seen so far
    std::vector<BlockKind> kinds;
    std::vector<std::unique_ptr<PassPrice>> prices;
  };
  struct States {
    std::vector<BlockKind> kinds;
    std::vector<Block> blocks;
    std::vector<BlockMemory> memory;
    size_t index(BlockKind kind) const;
  };
  /// Layout of stages, and the stages that differ.
  struct Stages {
    BlockLayout layout;
    std::vector<int> distinct;  ///< first stage of each kind
    std::vector<int> kind_of;   ///< per stage, index into distinct
  };

  const Stages* stages(const Plan& plan);
  const PlanLinks& links(const Plan& plan);
  const PassPrice& pass(const BlockKind& kind, const Plan& plan);
  States& states(const Plan& plan, const std::vector<BlockKind>& kinds);
  double lower_bound(const Stages& stages, const Plan& plan);
  Plan plan_of(const PassChoice& choice) const;
  double cutoff() const;
  bool slower(double bound) const { return bound > cutoff(); }
  void cut(int64_t count, bool refused);
  void visit(const Plan& plan, const Stages& stages, double bound);
  bool fits(const Plan& plan, const Stages& stages, int64_t& bytes);
  double price(const Plan& plan, const Stages& stages);
  void below(Plan& plan, const std::vector<RecomputeChoice>& recompute);
  void keep(double seconds, const Plan& plan);

  const SearchQuestion& question_;
  const CostModel& costs_;
  const RuleChecker& rules_;
  WalkLimits limits_;
  WalkResult result_;
  std::array<int64_t, kRules> refused_ = {};
  std::map<std::tuple<int, int, int, bool>, std::unique_ptr<Stages>> stages_;
  std::map<std::tuple<int, int, int, uint32_t, bool>, Passes> passes_;
  std::map<std::tuple<int, bool, int, int, bool, bool>, States> states_;
  std::map<int, std::unique_ptr<PlanLinks>> links_;  ///< by pp; groups inside a layer only
  std::vector<const PlanLinks*> placements_;         ///< that differ inside a layer
  PipelineInput input_;                              ///< kept to save allocations
  std::vector<ChunkTimes> walls_;
  std::vector<StatePrice> scratch_;
  /// The stages that may be the fullest, their states left open; see fits().
  std::vector<HeldStage> activations_;
  bool activations_known_ = false;  ///< for the present pass and schedule
};

}  // namespace meshplan
