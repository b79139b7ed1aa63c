// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "topologies/placement/placement.hpp"

namespace meshplan {
namespace {

/// How a group lies in units of `unit` consecutive ranks.
struct Cover {
  int64_t members = 1;  ///< of the group in its fullest unit
  int64_t units = 1;    ///< touched by the worst group
};

/// Dimension by dimension: one that ends inside the unit multiplies the members, one that starts
/// outside multiplies the units, one that crosses the border does both. Where the block of the
/// inner dimensions does not divide the unit some group straddles a border: it has two units and
/// half of the members in each.
Cover cover(const GroupDims& dims, int64_t unit) {
  Cover out;
  for (const GroupDim& dim : dims) {
    const int64_t extent = dim.size * dim.stride;
    if (extent <= unit) {
      if (unit % extent != 0 && out.units == 1) {
        out.members = (out.members * dim.size + 1) / 2;
        out.units = 2;
      } else {
        out.members *= dim.size;
      }
    } else if (dim.stride >= unit) {
      out.units *= dim.size;
    } else {
      const int64_t inside = unit / dim.stride;  // full periods of the dimension in one unit
      out.members *= inside;
      out.units *= (dim.size + inside - 1) / inside;
    }
  }
  return out;
}

/// Largest distance between neighbours of the group in ring order (pipeline order): the strides.
int64_t longest_stride(const GroupDims& dims) {
  return dims.empty() ? 0 : dims[dims.size() - 1].stride;
}

/// Ranks under one unit of the tier; the whole world for the last tier.
int64_t unit_ranks(const Cluster& cluster, size_t tier, int64_t world) {
  const int64_t nodes = cluster.tiers[tier].nodes;
  return nodes == 0 ? world : std::min(world, nodes * cluster.gpus_per_node);
}

}  // namespace

GroupLinks links_of(const Cluster& cluster, const GroupDims& dims, int64_t world) {
  GroupLinks out;
  out.ranks = dims.ranks();
  const int64_t island = std::min(cluster.island_gpus(), world);
  const bool nvlink = cluster.node_link != NodeLink::pcie && cluster.nvlink_domain_gpus > 1;
  const Cover in_island = cover(dims, island);
  const Cover in_host = cover(dims, std::min(cluster.gpus_per_node, world));
  out.ranks_per_node = in_island.members;
  out.nodes = in_island.units;
  out.hosts = in_host.units;
  out.nvlink = nvlink;
  out.nvlink_domain_ranks = nvlink ? in_island.members : 1;
  out.intra_bytes_per_s = cluster.intra_rate(out.ranks_per_node);
  out.level_name = nvlink ? "nvlink" : "pcie";
  out.p2p_bytes_per_s = cluster.intra_rate(2);
  out.p2p_nvlink = nvlink;
  if (out.nodes == 1) return out;

  const double nic = cluster.nic_bytes_per_s_per_gpu();
  // Without NVLink nothing hands a message over to the NIC of the right rail.
  out.same_rail = nvlink || out.ranks_per_node == 1;
  out.inter_bytes_per_s = nic;
  out.alltoall_inter_bytes_per_s = nic;
  const int64_t hop = longest_stride(dims);
  // Where only the last `hop` ranks of a node send, few NICs are shared by fewer.
  const double node_nics = nic * static_cast<double>(island);
  double p2p = std::min(std::max(nic, cluster.nic_bytes_per_s),
                        node_nics / static_cast<double>(std::min(hop, island)));
  int64_t below = island;  // ranks under one unit of the tier below
  const auto total = static_cast<double>(out.ranks);
  const double leaves_node = total - static_cast<double>(out.ranks_per_node);
  for (size_t tier = 0; tier < cluster.tiers.size(); ++tier) {
    const FabricTier& at = cluster.tiers[tier];
    const Cover under = cover(dims, below);  // the units whose uplinks this tier is
    out.level = static_cast<int>(tier);
    out.level_name = at.name;
    out.inter_latency_s = at.latency_s;
    if (at.oversubscription > 1) {
      const double k = at.oversubscription;
      // Ring: each of the below/members sibling groups in the unit leaves it once each way through
      // below * nic / k, so the group has members * nic / k there and ranks_per_node * nic at a
      // node; per rank of a node that is nic * (nodes in the unit) / k.
      const double nodes_under =
          out.same_rail || !cluster.rail_optimized
              ? static_cast<double>(under.members) / static_cast<double>(out.ranks_per_node)
              : 1;  // a ring that changes rails passes the spine at every node
      out.inter_bytes_per_s = std::min(out.inter_bytes_per_s, nic * nodes_under / k);
      const double leaves_unit = total - static_cast<double>(under.members);
      if (leaves_unit > 0)
        out.alltoall_inter_bytes_per_s =
            std::min(out.alltoall_inter_bytes_per_s, nic / k * leaves_node / leaves_unit);
      // Chain: the last `hop` ranks of the unit send out of it, all of them once hop >= unit.
      const double sending = static_cast<double>(std::min(hop, below));
      p2p = std::min(p2p, nic * static_cast<double>(below) / (sending * k));
    }
    const int64_t unit = unit_ranks(cluster, tier, world);
    const bool joined = cover(dims, unit).units == 1;
    const bool leaves_rail = tier == 0 && cluster.rail_optimized && !out.same_rail &&
                             cluster.tiers.size() > 1 && unit > cluster.gpus_per_node;
    if (joined && !leaves_rail) break;
    below = unit;
  }
  // Degraded units: the same three limits with what the maximum flow leaves to each rank of them.
  for (const Degraded& part : cluster.degraded) {
    const int64_t unit =
        part.tier < 0 ? island : unit_ranks(cluster, static_cast<size_t>(part.tier), world);
    const Cover under = cover(dims, unit);
    if (under.units == 1 || part.unit * unit >= world) continue;
    const double each = part.leaves_bytes_per_s_per_gpu;
    const double leaves_unit = total - static_cast<double>(under.members);
    out.inter_bytes_per_s =
        std::min(out.inter_bytes_per_s, each * static_cast<double>(under.members) /
                                            static_cast<double>(out.ranks_per_node));
    out.alltoall_inter_bytes_per_s =
        std::min(out.alltoall_inter_bytes_per_s, each * leaves_node / leaves_unit);
    p2p =
        std::min(p2p, each * static_cast<double>(unit) / static_cast<double>(std::min(hop, unit)));
  }
  // Neighbours in a chain: the worst pair leaves the node unless the group lies in one.
  out.p2p_bytes_per_s = p2p;
  out.p2p_nvlink = false;
  return out;
}

}  // namespace meshplan
