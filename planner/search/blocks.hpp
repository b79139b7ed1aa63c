// SPDX-License-Identifier: Apache-2.0
// Which passes are priced already? They depend on tp, cp, ep, micro-batch, recompute and on where
// those groups lie, not on the number of GPUs: a sweep keeps them from one number to the next.
#pragma once
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "costmodel/step/cost_model.hpp"
#include "planner/search/axes.hpp"

namespace meshplan {

/// Priced passes of one choice of tp, cp and ep. Not thread-safe; the addresses of prices stay.
class PassStore {
 public:
  /// Number of the place where the groups inside a layer lie; equal links have equal numbers.
  size_t place(const PlanLinks& links);
  /// Of every kind, in their order; `links`: some that lie at `place`.
  void prices(size_t place, const std::vector<BlockKind>& kinds, const LowerContext& lower,
              const CostModel& costs, const PlanLinks& links, std::vector<const PassPrice*>& out);

 private:
  static constexpr std::array<Group, 4> kInside = {Group::tp, Group::cp, Group::ep, Group::etp};
  struct Place {
    std::array<GroupDims, kInside.size()> dims;
    std::array<GroupLinks, kInside.size()> links;
  };
  struct Passes {  ///< by the order of the kinds seen so far
    std::vector<BlockKind> kinds;
    std::vector<std::unique_ptr<PassPrice>> prices;
  };
  std::vector<Place> places_;
  std::map<std::tuple<size_t, int, int, uint32_t, bool>, Passes> passes_;
};

/// One store for every choice of tp, cp and ep.
using BlockStores = std::map<std::tuple<int, bool, int, int, int, int>, PassStore>;
PassStore& store_of(BlockStores& stores, const PassChoice& choice);

}  // namespace meshplan
