// SPDX-License-Identifier: Apache-2.0
// What becomes of every strategy below one choice of tp, cp and ep? One unit of the search's work;
// units share nothing, so their order and their threads do not matter.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "costmodel/step/estimate.hpp"
#include "planner/search/axes.hpp"
#include "planner/search/blocks.hpp"
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
  /// passes: of this unit's choice.
  Walk(const SearchQuestion& question, const CostModel& costs, const RuleChecker& rules,
       PassStore& passes);
  WalkResult run(const PassChoice& choice, const WalkLimits& limits);
  /// Seconds that no plan of the unit undercuts.
  double unit_bound(const PassChoice& choice);
  /// Seconds of one plan of the unit by closed form; nothing if a rule refuses it or it does not
  /// fit.
  std::optional<double> seconds_of(const Plan& plan);

 private:
  /// Blocks with their states laid out; they do not depend on how passes run.
  struct States {
    std::vector<BlockKind> kinds;
    std::vector<Block> blocks;
    std::vector<BlockMemory> memory;
    size_t index(const BlockKind& kind) const;
  };
  /// The same priced; links of the groups that share the states.
  struct StateCosts {
    PlanLinks links;
    std::vector<BlockKind> kinds;
    std::vector<std::unique_ptr<StatePrice>> prices;
  };
  /// Layout of stages, and the stages that differ.
  struct Stages {
    BlockLayout layout;
    std::vector<int> distinct;  ///< first stage of each kind
    std::vector<int> kind_of;   ///< per stage, index into distinct
  };
  /// Bytes of the states of each distinct stage, by choice of how they are sharded.
  struct Shardings {
    std::vector<const States*> states;
    std::vector<std::vector<BlockMemory>> sums;
    std::vector<BlockMemory> least;  ///< what no choice undercuts
  };
  /// Whole weights and gradients that come and go, of one kind of block.
  struct Transient {
    bool freed = false;
    int64_t gathered = 0, whole_gradients = 0;
    When reduce_when = When::never;
    bool operator==(const Transient&) const = default;
  };
  /// Which of the choices of states a rule refuses; the same for all plans of one pp and dp.
  struct Legality {
    std::vector<RuleId> rule;  ///< by choice; empty: not known yet
    size_t first = 0;          ///< that is legal
    int64_t legal = 0;
    RuleId refused = RuleId::none;  ///< why the present plan is illegal whatever the states are
  };

  // walk_prices.cpp
  const Stages* stages(const Plan& plan);
  const PlanLinks& links(const Plan& plan);
  void passes(const std::vector<BlockKind>& kinds, const Plan& plan,
              std::vector<const PassPrice*>& out);
  const States& states(const Plan& plan, const std::vector<BlockKind>& kinds);
  const StateCosts& state_costs(const Plan& plan, const Stages& stages);
  const Shardings& shardings(Plan plan, const Stages& stages,
                             const std::vector<StateChoice>& choices, const Legality& legality);
  void enter(const Plan& plan, const Stages& stages);
  double lower_bound(const Stages& stages, const Plan& plan);
  const std::vector<HeldStage>& held(const Plan& plan, const Stages& stages, const States* states,
                                     const std::vector<BlockMemory>& sums);
  MemoryEstimate states_alone(const Plan& plan, const std::vector<BlockMemory>& sums);
  MemoryEstimate needed(const Plan& plan, const Stages& stages, const States* states,
                        const std::vector<BlockMemory>& sums);
  double price(const Plan& plan, const Stages& stages);

  // walk.cpp
  Plan plan_of(const PassChoice& choice) const;
  double cutoff() const;
  bool slower(double bound) const { return bound > cutoff(); }
  void refuse(RuleId rule, int64_t visited, int64_t covered);
  bool legal(Plan& plan, const std::vector<StateChoice>& choices, Legality& legality);
  void lean(const Plan& plan, int64_t bytes);
  void below(Plan& plan, const std::vector<RecomputeChoice>& recompute);
  void visit_all(Plan& plan, const Stages& stages, double bound,
                 const std::vector<StateChoice>& choices, const Legality& legality);
  void keep(double seconds, const Plan& plan);

  const SearchQuestion& question_;
  const CostModel& costs_;
  const RuleChecker& rules_;
  PassStore& store_;
  WalkLimits limits_;
  WalkResult result_;
  std::array<int64_t, kRules> refused_ = {};
  std::map<std::tuple<int, int, ScheduleKind, Recompute, int>, std::unique_ptr<Stages>> stages_;
  using StateKey = std::tuple<int, bool, int, int, bool, bool, bool>;
  std::map<StateKey, States> states_;
  std::map<std::pair<int, StateKey>, StateCosts> state_costs_;    ///< by pp
  std::map<std::pair<const Stages*, int>, Shardings> shardings_;  ///< by dp
  std::map<int, std::pair<PlanLinks, size_t>> links_;  ///< by pp; groups inside a layer only
  PipelineInput input_;                                ///< kept to save allocations
  // Of the passes and the schedule that were entered last.
  std::vector<const PassPrice*> passes_;
  std::vector<HeldStage> held_;
  std::vector<Transient> held_for_, wanted_;
  bool held_known_ = false;
};

/// Puts a choice of states into a plan with this dp.
void choose_states(Plan& plan, const StateChoice& choice, int dp);

}  // namespace meshplan
