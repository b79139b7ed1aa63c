// SPDX-License-Identifier: Apache-2.0
#include "topologies/fabric/fabric.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

namespace meshplan {
namespace {

/// GPUs of one rail of an island, by set (0: members of none).
using SetCounts = std::vector<int64_t>;

/// One island (node or NVLink domain), or one unit of a tier, up to equality. `share` is the part
/// of its uplink that works.
struct Shape {
  std::vector<SetCounts> rails;                ///< islands: one entry a rail class
  std::vector<std::pair<int, int64_t>> parts;  ///< units: (shape of the level below, how many)
  double share = 1;
  bool operator<(const Shape& other) const {
    return std::tie(rails, parts, share) < std::tie(other.rails, other.parts, other.share);
  }
};

class Builder {
 public:
  Builder(const Cluster& cluster, const std::vector<std::vector<int64_t>>& sets)
      : cluster_(cluster),
        island_(cluster.island_gpus()),
        rail_count_(std::max<int64_t>(1, std::min(cluster.nics_per_node, cluster.gpus_per_node))),
        set_count_(sets.size() + 1),
        alone_(cluster.gpus() <= island_ || cluster.tiers.empty()) {
    classify(sets);
  }

  Fabric build() {
    // Shapes of the islands, then of the units of each tier, bottom up.
    std::map<int64_t, int> level;  // position -> shape
    for (const auto& [position, rails] : islands_) {
      Shape shape;
      for (int64_t rail : class_rail_) shape.rails.push_back(rails[static_cast<size_t>(rail)]);
      shape.share = share(-1, position);
      level[position] = intern(std::move(shape));
    }
    if (alone_) {
      for (const auto& [position, shape] : level) emit(shape, 1, -1);
      return std::move(out_);
    }
    int64_t below = 1;  // islands under one unit
    for (size_t tier = 0; tier < cluster_.tiers.size(); ++tier) {
      const int64_t here = std::max(below, islands_under(tier));
      std::map<int64_t, std::map<int, int64_t>> units;
      for (const auto& [position, shape] : level) ++units[position / (here / below)][shape];
      level.clear();
      for (const auto& [position, parts] : units) {
        Shape shape;
        shape.parts.assign(parts.begin(), parts.end());
        shape.share = share(static_cast<int>(tier), position);
        level[position] = intern(std::move(shape));
      }
      below = here;
    }
    std::map<int, int64_t> roots;
    for (const auto& [position, shape] : level) ++roots[shape];
    for (const auto& [shape, count] : roots)
      emit(shape, count, static_cast<int>(cluster_.tiers.size()) - 1);
    return std::move(out_);
  }

 private:
  /// Fills islands_ and merges rails on which every island holds the same members.
  void classify(const std::vector<std::vector<int64_t>>& sets) {
    for (size_t set = 0; set < sets.size(); ++set)
      for (int64_t rank : sets[set]) {
        const int64_t local = rank % island_ % cluster_.gpus_per_node;
        const int64_t rail = local * rail_count_ / cluster_.gpus_per_node;
        ++island(rank / island_)[static_cast<size_t>(rail)][set + 1];
        --island(rank / island_)[static_cast<size_t>(rail)][0];
      }
    std::map<std::vector<SetCounts>, int64_t> classes;
    for (int64_t rail = 0; rail < rail_count_; ++rail) {
      std::vector<SetCounts> column;
      for (const auto& [position, rails] : islands_)
        column.push_back(rails[static_cast<size_t>(rail)]);
      const auto [at, fresh] =
          classes.try_emplace(std::move(column), static_cast<int64_t>(class_rail_.size()));
      if (fresh) {
        class_rail_.push_back(rail);
        class_size_.push_back(0);
      }
      ++class_size_[static_cast<size_t>(at->second)];
    }
  }

  std::vector<SetCounts>& island(int64_t position) {
    auto& rails = islands_[position];
    if (rails.empty()) {
      rails.assign(static_cast<size_t>(rail_count_), SetCounts(set_count_, 0));
      for (int64_t local = 0; local < island_; ++local) {
        const int64_t rail = local % cluster_.gpus_per_node * rail_count_ / cluster_.gpus_per_node;
        ++rails[static_cast<size_t>(rail)][0];
      }
    }
    return rails;
  }

  int64_t islands_under(size_t tier) const {
    const int64_t all = std::max<int64_t>(1, cluster_.gpus() / island_);
    const int64_t nodes = cluster_.tiers[tier].nodes;
    if (nodes == 0) return all + (all * island_ < cluster_.gpus() ? 1 : 0);
    return std::max<int64_t>(1, nodes * cluster_.gpus_per_node / island_);
  }

  /// Working share of the uplink of unit `position`; tier -1 are the islands.
  double share(int tier, int64_t position) const {
    double out = 1;
    for (const Degraded& part : cluster_.degraded)
      if (part.tier == tier && part.unit == position) out *= part.share;
    return out;
  }

  int intern(Shape shape) {
    const auto [at, fresh] = shape_id_.try_emplace(shape, static_cast<int>(shapes_.size()));
    if (fresh) shapes_.push_back(std::move(shape));
    return at->second;
  }

  int vertex(FabricKind kind, int tier, int set, int64_t count) {
    out_.vertices.push_back({kind, tier, set, count});
    return static_cast<int>(out_.vertices.size()) - 1;
  }
  void link(int a, int b, double bytes_per_s) { out_.links.push_back({a, b, bytes_per_s}); }

  /// What hangs upwards: vertices that stand for `rails` each, with the NIC rate under them.
  struct Uplinks {
    std::vector<int> vertices;
    std::vector<double> nic_bytes_per_s;
    double share = 1;
  };

  Uplinks emit_island(const Shape& shape, int64_t count) {
    Uplinks up;
    up.share = shape.share;
    const bool pcie = cluster_.node_link == NodeLink::pcie;
    const int hub = vertex(pcie ? FabricKind::pcie_bridge : FabricKind::nvswitch, -1, 0, count);
    const auto hosts = static_cast<double>(island_) / static_cast<double>(cluster_.gpus_per_node);
    const double rail_rate = hosts * static_cast<double>(cluster_.nics_per_node) *
                             cluster_.nic_bytes_per_s / static_cast<double>(rail_count_);
    for (size_t rail = 0; rail < shape.rails.size(); ++rail) {
      const int64_t rails = count * class_size_[rail];
      const double rate = static_cast<double>(rails) * rail_rate;
      const auto nics = static_cast<int64_t>(static_cast<double>(rails * cluster_.nics_per_node) *
                                             hosts / static_cast<double>(rail_count_));
      const int nic = alone_ ? -1 : vertex(FabricKind::nic, -1, 0, nics);
      if (pcie && !alone_) link(hub, nic, rate);
      for (size_t set = 0; set < set_count_; ++set) {
        const int64_t gpus = rails * shape.rails[rail][set];
        if (gpus == 0) continue;
        const int gpu = vertex(FabricKind::gpu, -1, static_cast<int>(set), gpus);
        link(gpu, hub, static_cast<double>(gpus) * cluster_.intra_bytes_per_s);
        if (!pcie && !alone_) link(gpu, nic, rate);
      }
      up.vertices.push_back(nic);
      up.nic_bytes_per_s.push_back(rate);
    }
    return up;
  }

  /// Emits `count` units of that shape and returns what they offer to the tier above.
  Uplinks emit(int id, int64_t count, int tier) {
    const Shape shape = shapes_[static_cast<size_t>(id)];
    if (tier < 0) return emit_island(shape, count);
    const FabricTier& at = cluster_.tiers[static_cast<size_t>(tier)];
    const FabricKind kind = tier == 0   ? FabricKind::leaf
                            : tier == 1 ? FabricKind::spine
                                        : FabricKind::core;
    const bool rails = tier == 0 && cluster_.rail_optimized;
    const size_t switches = rails ? class_rail_.size() : 1;
    Uplinks up;
    up.share = shape.share;
    // The uplink of a unit is built for all of its nodes, whether they are used or not.
    const double under = static_cast<double>(islands_under(static_cast<size_t>(tier)) * island_) *
                         cluster_.nic_bytes_per_s_per_gpu() * static_cast<double>(count);
    for (size_t i = 0; i < switches; ++i) {
      const int64_t pieces = count * (rails ? class_size_[i] : 1);
      up.vertices.push_back(vertex(kind, tier, 0, pieces));
      up.nic_bytes_per_s.push_back(rails ? under * static_cast<double>(class_size_[i]) /
                                               static_cast<double>(rail_count_)
                                         : under);
    }
    for (const auto& [part, times] : shape.parts) {
      const Uplinks below = emit(part, count * times, tier - 1);
      for (size_t i = 0; i < below.vertices.size(); ++i)
        link(below.vertices[i], up.vertices[rails ? i : 0],
             below.nic_bytes_per_s[i] * below.share / at.oversubscription);
    }
    return up;
  }

  const Cluster& cluster_;
  int64_t island_;
  int64_t rail_count_;
  size_t set_count_;
  bool alone_;  ///< one island: no NICs, no switches
  std::map<int64_t, std::vector<SetCounts>> islands_;
  std::vector<int64_t> class_rail_, class_size_;
  std::map<Shape, int> shape_id_;
  std::vector<Shape> shapes_;
  Fabric out_;
};

}  // namespace

int64_t Fabric::count(FabricKind kind) const {
  int64_t sum = 0;
  for (const FabricVertex& vertex : vertices)
    if (vertex.kind == kind) sum += vertex.count;
  return sum;
}

Fabric fabric_of(const Cluster& cluster, const std::vector<std::vector<int64_t>>& sets) {
  return Builder(cluster, sets).build();
}

double bisection_bytes_per_s(const Cluster& cluster) {
  const int64_t half =
      cluster.nodes > 1 ? cluster.nodes / 2 * cluster.gpus_per_node : cluster.gpus_per_node / 2;
  if (half == 0) return 0;
  std::vector<int64_t> from(static_cast<size_t>(half)), to(static_cast<size_t>(half));
  std::iota(from.begin(), from.end(), int64_t{0});
  std::iota(to.begin(), to.end(), half);
  return max_flow_bytes_per_s(cluster, from, to);
}

}  // namespace meshplan
