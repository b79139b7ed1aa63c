// SPDX-License-Identifier: Apache-2.0
// Which ranks form a group under a trainer's rank order, and which links does that group cross?
//
// A group is a nested set of strides: all ranks base + sum i_d * stride_d, 0 <= i_d < size_d. The
// groups of one kind (all DP groups, say) tile the world and communicate at the same time, so each
// gets a fair share of what it crosses. No allocation; a group is a small value to memoise by.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan {

enum class Axis { tp, cp, ep, dp_shard, dp_replicate, pp };
constexpr int kAxes = 6;
const char* name_of(Axis axis);

/// Ranks along each axis. Only axes that multiply the world count: for the dense part ep is 1; for
/// the expert part (see expert_degrees) ep takes ranks from cp and dp.
struct Degrees {
  std::array<int64_t, kAxes> of = {1, 1, 1, 1, 1, 1};
  int64_t& operator[](Axis axis) { return of[static_cast<size_t>(axis)]; }
  int64_t operator[](Axis axis) const { return of[static_cast<size_t>(axis)]; }
  int64_t world() const;
  bool operator==(const Degrees&) const = default;
};

/// Degrees of the expert part of the same world: tp = etp, cp = 1, ep, dp = what is left, pp as it
/// is. Error (no_plan): ep * etp does not divide tp * cp * dp.
Result<Degrees> expert_degrees(const Degrees& dense, int64_t ep, int64_t etp);

/// Axes, innermost (fastest varying) first.
struct RankOrder {
  std::array<Axis, kAxes> axes = {Axis::tp,       Axis::cp,           Axis::ep,
                                  Axis::dp_shard, Axis::dp_replicate, Axis::pp};
  bool operator==(const RankOrder&) const = default;

  /// "tp-cp-ep-dp-pp"; dp stands for dp_shard-dp_replicate. What the text leaves out: ep goes
  /// directly inside dp, anything else to the end. Error (usage): unknown or repeated axis.
  static Result<RankOrder> parse(const std::string& text);
};
std::string to_text(const RankOrder& order);

struct GroupDim {
  int64_t size = 1;
  int64_t stride = 1;
  bool operator==(const GroupDim&) const = default;
};

/// Dimensions of a group, ascending stride, sizes > 1, neighbours merged where they are contiguous.
class GroupDims {
 public:
  GroupDims() = default;
  GroupDims(std::initializer_list<GroupDim> dims);
  /// Appends; strides must ascend. Sizes of 1 are dropped.
  void add(GroupDim dim);
  int64_t ranks() const;
  int size() const { return count_; }
  bool empty() const { return count_ == 0; }
  const GroupDim* begin() const { return dims_.data(); }
  const GroupDim* end() const { return dims_.data() + count_; }
  const GroupDim& operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  bool operator==(const GroupDims& other) const;

 private:
  std::array<GroupDim, kAxes> dims_ = {};
  int count_ = 0;
};

/// The group that varies exactly `axes` (in any order) under the rank order.
GroupDims group_of(const RankOrder& order, const Degrees& degrees,
                   std::initializer_list<Axis> axes);

/// Member ranks of the group of `base`'s kind that starts at `base` (its lowest rank).
std::vector<int64_t> ranks_of(const GroupDims& dims, int64_t base = 0);

/// "node" here: the GPUs that reach each other without a NIC: a host, or a whole NVL72 rack.
struct GroupLinks {
  int64_t ranks = 1;
  int64_t ranks_per_node = 1;  ///< in the fullest node
  int64_t nodes = 1;
  int64_t hosts = 1;  ///< servers with an operating system; differs from nodes in NVL72
  int64_t nvlink_domain_ranks = 1;  ///< members joined by NVLink; 1 without NVLink
  bool nvlink = false;              ///< the links inside the node are NVLink
  bool same_rail = true;  ///< no flow leaves its rail: one member a node at the same place, or
                          ///< NVLink hands over to the right NIC inside the node

  double intra_bytes_per_s = 0;  ///< of one rank inside the node
  /// Share of one rank in what leaves the node, each direction, while all sibling groups do the
  /// same. A ring over nodes passes each node border once, so the group's ring runs at
  /// min(intra, ranks_per_node * this). Tiers with oversubscription k whose unit holds u nodes of
  /// the group scale it by min(1, u / k). 0 when the group stays inside one node.
  double inter_bytes_per_s = 0;
  /// All-to-all: bytes that one rank sends out of its node, over this, is the time that the slowest
  /// tier takes. 0 inside one node.
  double alltoall_inter_bytes_per_s = 0;
  /// One rank to the next of the group (pipeline), slowest such pair, all pairs at once.
  double p2p_bytes_per_s = 0;
  bool p2p_nvlink = false;     ///< no such pair leaves its NVLink domain
  double inter_latency_s = 0;  ///< one way, highest tier crossed; 0 inside one node
  int level = -1;              ///< index of that tier in Cluster::tiers; -1 inside one node
  std::string level_name;      ///< "nvlink", "pcie" or the tier's name
};

/// Links of the groups of this kind in the first `world` ranks of the cluster. Groups that do not
/// line up with the nodes are priced by their worst member. Requires world <= cluster.gpus().
GroupLinks links_of(const Cluster& cluster, const GroupDims& dims, int64_t world);

}  // namespace meshplan
