// SPDX-License-Identifier: Apache-2.0
#include "planner/graph/search.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

namespace meshplan::graph {
namespace {

constexpr int64_t kMostPartitions = 128;

/// What is tried on an open axis, or what was asked for.
std::vector<int> values_of(const AxisRange& range, const std::set<int64_t>& open) {
  std::vector<int> out;
  for (const int64_t value :
       range.open() ? open : std::set<int64_t>(range.values.begin(), range.values.end()))
    out.push_back(static_cast<int>(value));
  if (!range.open() && range.values.empty())
    for (const int64_t value : open)
      if (range.allows(value)) out.push_back(static_cast<int>(value));
  return out;
}

std::set<int64_t> doublings(int64_t last) {
  std::set<int64_t> out;
  for (int64_t value = 1; value <= last; value *= 2) out.insert(value);
  return out;
}

/// Fixed order of plans: fewer devices, then less that moves, come first.
auto complexity(const GraphPlan& p) {
  return std::make_tuple(p.ranks, p.partitions, static_cast<int>(p.home), -p.resident,
                         static_cast<int>(p.order), static_cast<int>(p.compute));
}

std::vector<GraphPlan> enumerate(const GraphQuestion& q) {
  const bool has_host = q.machine.host_bytes > 0 && !q.machine.is_cpu;
  std::vector<Home> homes = q.homes;
  if (homes.empty()) {
    homes = {Home::memory, Home::storage};
    if (has_host) homes.push_back(Home::host);
  }
  std::vector<Order> orders = q.orders;
  if (orders.empty())
    orders = {Order::beta, Order::inside_out, Order::affinity, Order::cover, Order::halving};
  std::set<int64_t> partitions = doublings(kMostPartitions);
  std::set<int64_t> resident = doublings(kMostPartitions);
  std::set<int64_t> ranks = doublings(q.machine.is_cpu ? 1 : q.machine.devices);
  for (const int64_t c : {3, 5, 7}) {  // affine planes
    partitions.insert(c * c);
    resident.insert(c);
    if (c <= q.machine.devices && !q.machine.is_cpu) ranks.insert(c);
  }
  std::vector<GraphPlan> out;
  for (const int p : values_of(q.partitions, partitions))
    for (const int c : values_of(q.resident, resident))
      for (const int r : values_of(q.ranks, ranks))
        for (const Home home : homes)
          for (const Order order : orders)
            for (const DType compute : q.compute) {
              const bool all = c == p && r == 1;
              // One hold of everything has no order, and nothing waits anywhere.
              if (c > p || all != (home == Home::memory) || (all && order != orders.front()) ||
                  (all && p > 1 && q.partitions.open()))
                continue;
              GraphPlan plan;
              plan.order = order;
              plan.partitions = p;
              plan.resident = c;
              plan.ranks = r;
              plan.threads = q.threads;
              plan.home = home;
              plan.compute = compute;
              out.push_back(plan);
            }
  return out;
}

struct Candidate {
  GraphPlan plan;
  double bound = 0;
};

}  // namespace

Result<GraphAnswer> search(const GraphQuestion& q) {
  GraphAnswer out;
  std::vector<Candidate> candidates;
  GraphNone nearest;
  nearest.needed_bytes = std::numeric_limits<int64_t>::max();
  nearest.capacity_bytes = q.machine.device_bytes;
  const auto too_large = [&](const GraphPlan& plan, int64_t needed) {
    ++out.funnel.out_of_memory;
    if (needed >= nearest.needed_bytes) return;
    nearest.needed_bytes = needed;
    nearest.plan = plan;
  };
  for (const GraphPlan& plan : enumerate(q)) {
    ++out.funnel.visited;
    if (const Status status = check_plan(q.workload, plan); !status.ok()) {
      ++out.funnel.refused[status.error().rule];
      continue;
    }
    const int64_t least = least_memory(q.workload, plan, q.machine);
    if (q.machine.device_bytes > 0 && least > q.machine.device_bytes) {
      too_large(plan, least);
      continue;
    }
    MESHPLAN_TRY(const auto price, q.machine.pricer(q.workload, plan));
    candidates.push_back({plan, least_epoch_s(q.workload, plan, price)});
  }
  out.funnel.covered = out.funnel.visited;
  std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
    return complexity(a.plan) < complexity(b.plan);
  });
  const auto faster = [](const EpochEstimate& a, const EpochEstimate& b) {
    return a.epoch_s != b.epoch_s ? a.epoch_s < b.epoch_s : complexity(a.plan) < complexity(b.plan);
  };
  const auto wanted = static_cast<size_t>(std::max(1, q.top_k));
  for (const Candidate& one : candidates) {
    // A simpler plan is known that this one cannot beat by more than predictions can tell.
    if (q.bounds && out.plans.size() >= wanted &&
        one.bound * (1 + kTie) >= out.plans.front().epoch_s) {
      ++out.funnel.bounded;
      continue;
    }
    MESHPLAN_TRY(EpochEstimate estimate, estimate_epoch(q.workload, one.plan, q.machine));
    if (!estimate.fits) {
      too_large(one.plan, estimate.peak_memory_bytes);
      continue;
    }
    ++out.funnel.priced;
    out.plans.insert(std::upper_bound(out.plans.begin(), out.plans.end(), estimate, faster),
                     std::move(estimate));
  }
  if (out.plans.empty()) {
    nearest.rule = "memory";
    if (!nearest.plan) {
      nearest.needed_bytes = 0;
      int64_t most = 0;
      for (const auto& [rule, count] : out.funnel.refused)
        if (count > most) {
          most = count;
          nearest.rule = rule;
        }
    }
    out.none = nearest;
    return out;
  }
  // Of plans that predictions can't tell apart the simplest stands first.
  const double best = out.plans.front().epoch_s;
  const auto tied = [&](const EpochEstimate& e) { return e.epoch_s <= best * (1 + kTie); };
  const auto ties = std::partition_point(out.plans.begin(), out.plans.end(), tied);
  std::stable_sort(out.plans.begin(), ties, [](const EpochEstimate& a, const EpochEstimate& b) {
    return complexity(a.plan) < complexity(b.plan);
  });
  if (out.plans.size() > wanted) out.plans.resize(wanted);
  for (const EpochEstimate& plan : out.plans) out.tie.push_back(tied(plan));
  return out;
}

}  // namespace meshplan::graph
