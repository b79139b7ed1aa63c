// SPDX-License-Identifier: Apache-2.0
// What does the graph of GPUs, NVSwitches, NICs and switches let through between two sets of ranks?
//
// The closed forms of placement hold where a group lines up with the fabric. Here is the graph
// itself, for what is irregular (degraded uplinks, sets that do not line up) and for checking the
// closed forms: bandwidth is a maximum flow. Pieces that symmetry makes equal (nodes with the same
// share of each set, racks with the same nodes, ...) are one vertex with a count: a flow that is
// not symmetric can be averaged over the symmetry without loss, so nothing is given away, and
// 131,072 GPUs are a dozen vertices.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/cluster/cluster.hpp"

namespace meshplan {

enum class FabricKind { gpu, nvswitch, pcie_bridge, nic, leaf, spine, core };

struct FabricVertex {
  FabricKind kind = FabricKind::gpu;
  int tier = -1;      ///< index in Cluster::tiers for switches
  int set = 0;        ///< GPUs: 1 + index of the set of ranks that they belong to; 0: none
  int64_t count = 1;  ///< equal pieces that this vertex stands for
};

/// Full duplex: `bytes_per_s` each way, of all equal links together.
struct FabricLink {
  int a = 0, b = 0;
  double bytes_per_s = 0;
};

struct Fabric {
  std::vector<FabricVertex> vertices;
  std::vector<FabricLink> links;
  int64_t count(FabricKind kind) const;  ///< pieces of that kind
};

/// The part of the fabric that joins the nodes of `sets` (disjoint lists of ranks), reduced by
/// symmetry. Switches of one tier unit are one piece (per rail for a rail-optimized first tier). A
/// mesh of NVLinks counts as a switch with the GPU's total rate.
Fabric fabric_of(const Cluster& cluster, const std::vector<std::vector<int64_t>>& sets);

/// Most bytes per second that can flow from one set of ranks to another, all at once; flows may be
/// handed over between GPUs of a node where NVLink joins them, and GPUs of one node reach each
/// other through their NICs too. Sets must be disjoint and not empty.
double max_flow_bytes_per_s(const Cluster& cluster, const std::vector<int64_t>& from,
                            const std::vector<int64_t>& to);

/// From the first half of the nodes (or GPUs, in one node) to the second.
double bisection_bytes_per_s(const Cluster& cluster);

}  // namespace meshplan
