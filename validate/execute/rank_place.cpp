// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/rank_place.hpp"

#include <algorithm>
#include <initializer_list>
#include <numeric>

#include "topologies/placement/placement.hpp"

namespace meshplan {
namespace {

/// Places of one rank among the ranks of `degrees`.
struct Grid {
  RankOrder order;
  Degrees degrees;
  int rank;

  int coordinate(Axis axis) const {
    int64_t stride = 1;
    for (const Axis inner : order.axes) {
      if (inner == axis) break;
      stride *= degrees[inner];
    }
    return static_cast<int>(rank / stride % degrees[axis]);
  }
  std::vector<int> group(std::initializer_list<Axis> axes) const {
    const GroupDims dims = group_of(order, degrees, axes);
    int64_t base = rank;
    for (const GroupDim& dim : dims) base -= rank / dim.stride % dim.size * dim.stride;
    const std::vector<int64_t> ranks = ranks_of(dims, base);
    return {ranks.begin(), ranks.end()};
  }
};

}  // namespace

int RankPlace::index(Group group) const {
  const std::vector<int>& ranks = of(group);
  return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

Result<RankPlace> place_of_rank(const Plan& plan, const std::string& rank_order, int rank) {
  MESHPLAN_TRY(const RankOrder order, RankOrder::parse(rank_order));
  Degrees dense;
  dense[Axis::tp] = plan.tp;
  dense[Axis::cp] = plan.cp;
  dense[Axis::dp_shard] = plan.dp_shard;
  dense[Axis::dp_replicate] = plan.dp_replicate;
  dense[Axis::pp] = plan.pp;
  MESHPLAN_TRY(const Degrees expert, expert_degrees(dense, plan.ep, plan.etp));
  const Grid grid{order, dense, rank};
  const Grid experts{order, expert, rank};

  RankPlace place;
  place.rank = rank;
  place.stage = grid.coordinate(Axis::pp);
  place.tp = grid.coordinate(Axis::tp);
  place.cp = grid.coordinate(Axis::cp);
  place.data =
      grid.coordinate(Axis::dp_shard) + plan.dp_shard * grid.coordinate(Axis::dp_replicate);
  place.ep = experts.coordinate(Axis::ep);
  place.etp = experts.coordinate(Axis::tp);
  const auto set = [&](Group group, std::vector<int> ranks) {
    place.members[static_cast<size_t>(group)] = std::move(ranks);
  };
  const bool sharded = plan.zero > 0;
  set(Group::tp, grid.group({Axis::tp}));
  set(Group::cp, grid.group({Axis::cp}));
  set(Group::ep, experts.group({Axis::ep}));
  set(Group::etp, experts.group({Axis::tp}));
  set(Group::shard, sharded ? grid.group({Axis::cp, Axis::dp_shard}) : std::vector{rank});
  set(Group::replicate, sharded ? grid.group({Axis::dp_replicate})
                                : grid.group({Axis::cp, Axis::dp_shard, Axis::dp_replicate}));
  set(Group::expert_shard, sharded ? experts.group({Axis::dp_shard}) : std::vector{rank});
  set(Group::expert_replicate, sharded ? experts.group({Axis::dp_replicate})
                                       : experts.group({Axis::dp_shard, Axis::dp_replicate}));
  set(Group::pp, grid.group({Axis::pp}));
  const std::vector<int>& stages = place.of(Group::pp);
  if (plan.pp > 1 && (rank == stages.front() || rank == stages.back())) {
    set(Group::tied, {stages.front(), stages.back()});
  }
  std::vector<int> world(static_cast<size_t>(plan.world()));
  std::iota(world.begin(), world.end(), 0);
  set(Group::world, std::move(world));
  return place;
}

}  // namespace meshplan
