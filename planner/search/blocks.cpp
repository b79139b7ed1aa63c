// SPDX-License-Identifier: Apache-2.0
#include "planner/search/blocks.hpp"

#include <algorithm>
#include <tuple>

namespace meshplan {
namespace {

/// All of GroupLinks but the name of its level.
auto key(const GroupLinks& l) {
  return std::tie(l.ranks, l.ranks_per_node, l.nodes, l.hosts, l.nvlink_domain_ranks, l.nvlink,
                  l.same_rail, l.intra_bytes_per_s, l.inter_bytes_per_s,
                  l.alltoall_inter_bytes_per_s, l.p2p_bytes_per_s, l.p2p_nvlink, l.inter_latency_s,
                  l.level);
}

}  // namespace

size_t PassStore::place(const PlanLinks& links) {
  const auto same = [&](const Place& other) {
    for (size_t i = 0; i < kInside.size(); ++i) {
      const auto g = static_cast<size_t>(kInside[i]);
      if (!(other.dims[i] == links.dims[g]) || key(other.links[i]) != key(links.links[g]))
        return false;
    }
    return true;
  };
  const auto found = std::find_if(places_.begin(), places_.end(), same);
  if (found != places_.end()) return static_cast<size_t>(found - places_.begin());
  Place next;
  for (size_t i = 0; i < kInside.size(); ++i) {
    next.dims[i] = links.dims[static_cast<size_t>(kInside[i])];
    next.links[i] = links.links[static_cast<size_t>(kInside[i])];
  }
  places_.push_back(next);
  return places_.size() - 1;
}

void PassStore::prices(size_t place, const std::vector<BlockKind>& kinds, const LowerContext& lower,
                       const CostModel& costs, const PlanLinks& links,
                       std::vector<const PassPrice*>& out) {
  const Plan& plan = lower.plan;
  Passes& passes = passes_[{place, plan.micro_batch, static_cast<int>(plan.recompute),
                            plan.recompute_modules, splits_backward(plan.schedule)}];
  out.clear();
  for (const BlockKind& kind : kinds) {
    size_t at = 0;
    while (at < passes.kinds.size() && !(passes.kinds[at] == kind)) ++at;
    if (at == passes.kinds.size()) {
      passes.kinds.push_back(kind);
      passes.prices.push_back(std::make_unique<PassPrice>(
          costs.price_passes(lower, kind, costs.context(plan, lower.trainer, links))));
    }
    out.push_back(passes.prices[at].get());
  }
}

PassStore& store_of(BlockStores& stores, const PassChoice& choice) {
  return stores[{choice.tp, choice.sequence_parallel, choice.cp, static_cast<int>(choice.cp_kind),
                 choice.ep, choice.etp}];
}

}  // namespace meshplan
