// SPDX-License-Identifier: Apache-2.0
// Where does a rank stand in the plan, and who are the others of each of its groups?
#pragma once
#include <array>
#include <string>
#include <vector>

#include "strategies/plan/plan.hpp"
#include "strategies/program/op.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

struct RankPlace {
  int rank = 0;
  int stage = 0;  ///< of the pipeline
  int tp = 0, cp = 0, ep = 0, etp = 0;
  int data = 0;  ///< 0 .. dp - 1: which share of the micro-batches
  /// World ranks of this rank's group of each kind, ascending along the axis; {rank} where the
  /// group is this rank alone; empty: not a member (Group::tied between the first and last stage).
  std::array<std::vector<int>, kGroups> members;

  const std::vector<int>& of(Group group) const { return members[static_cast<size_t>(group)]; }
  int size(Group group) const { return static_cast<int>(of(group).size()); }
  int index(Group group) const;  ///< of this rank within the group
};

/// rank_order: of the trainer, innermost axis first. Error (no_plan): experts do not fit the ranks.
Result<RankPlace> place_of_rank(const Plan& plan, const std::string& rank_order, int rank);

}  // namespace meshplan
