// SPDX-License-Identifier: Apache-2.0
// Which machines stand where, and what joins them? Nodes of GPUs, NICs, and the tiers of the
// fabric.
//
// Ranks fill the machine in order: rank r is GPU r % gpus_per_node of node r / gpus_per_node, and
// every tier of the fabric joins a fixed number of consecutive nodes. Rates are bytes per second
// and one direction.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"
#include "topologies/gpu/gpu.hpp"

namespace meshplan {

/// How the GPUs of one node reach each other.
enum class NodeLink {
  nvswitch,     ///< every GPU has its full rate to every other
  nvlink_mesh,  ///< fixed links between pairs: the rate depends on how many take part
  pcie,
};

/// One level of switches. It joins units of the tier below (nodes, for the first).
struct FabricTier {
  std::string name;
  int64_t nodes = 0;  ///< consecutive nodes under one unit of this tier; 0: all that exist
  double oversubscription = 1;  ///< NIC rate of one unit below over its uplink rate into this tier
  double latency_s = 0;         ///< one way, NIC to NIC, when this is the highest tier crossed
};

/// A unit whose uplink does not reach its rate: a failed NIC, a rack with half of its cables.
struct Degraded {
  int tier = -1;     ///< index in Cluster::tiers; -1: a node (NVLink domain in NVL72)
  int64_t unit = 0;  ///< which one, from 0
  double share = 1;  ///< of its uplink that works
  double leaves_bytes_per_s_per_gpu = 0;  ///< out of the unit, by maximum flow (fabric.hpp)
};

struct Host {
  int cpu_cores = 0;  ///< physical, whole node
  int64_t memory_bytes = 0;
  double memory_bytes_per_s = 0;
  double power_w = 0;  ///< the node at full load without its GPUs
};

struct Cluster {
  std::string id;
  std::string name;
  Gpu gpu;
  int64_t nodes = 1;
  int64_t gpus_per_node = 8;
  NodeLink node_link = NodeLink::nvswitch;
  int64_t nvlink_domain_gpus =
      8;  ///< consecutive ranks that NVLink joins: a node, an NVL72 rack; 1: none
  double intra_bytes_per_s = 0;  ///< of one GPU to the others without a NIC, all of its links
  std::vector<double>
      mesh_bytes_per_s;  ///< nvlink_mesh, irregular: rate of a GPU in a group of 2, 3, ...

  int64_t nics_per_node = 0;
  double nic_bytes_per_s = 0;     ///< one NIC
  std::string network;            ///< infiniband, roce, efa, omni-path, slingshot, ethernet, none
  bool rail_optimized = false;    ///< first tier: NIC i of all its nodes on the same switch
  std::vector<FabricTier> tiers;  ///< bottom first; the last one joins everything
  Host host;
  std::vector<Degraded> degraded;  ///< irregular parts; empty in a sound machine

  std::string source;
  std::vector<std::string> assumed;  ///< printed with every answer

  int64_t gpus() const { return nodes * gpus_per_node; }
  double nic_bytes_per_s_per_gpu() const;  ///< fair share of the node's NICs
  /// Rate of one GPU inside its node when `ranks` GPUs of it communicate.
  double intra_rate(int64_t ranks) const;
  /// Consecutive ranks that reach each other without a NIC: NVLink domain, or the node.
  int64_t island_gpus() const;
};

/// A bundled name, a path to a YAML file, "2048x8xH100" (nodes x GPUs per node x GPU) or
/// "512xH100". Errors: usage (name or GPU misspelt, with the nearest), input (file, with line).
Result<Cluster> find_cluster(const std::string& text);

/// The first `gpus` GPUs of a cluster, whole nodes, or one node in part. The cluster may be
/// extended beyond its own count: what it is made of repeats, and `assumed` says so.
/// Error (usage): gpus < 1, or neither a part of one node nor whole nodes.
Result<Cluster> with_gpus(Cluster cluster, int64_t gpus);

/// All bundled clusters, sorted by id.
Result<std::vector<Cluster>> all_clusters();

/// One file; `text` in memory with `name` in messages.
Result<Cluster> read_cluster(const std::string& path);
Result<Cluster> parse_cluster(const std::string& text, const std::string& name);

/// As a cluster file that states every key; read_cluster gives the same cluster back.
std::string to_yaml(const Cluster& cluster);
const char* name_of(NodeLink link);

/// What a published run states of its machine; empty text and 0 mean not stated.
struct ClusterFacts {
  std::string gpu;  ///< as find_gpu takes it; more words may follow
  int64_t gpus = 1;
  int64_t gpus_per_node = 0;
  std::string intra_gb_per_s;          ///< one GPU, one direction, 1e9 bytes/s
  std::string inter_gb_per_s_per_gpu;  ///< same
  std::string fabric;                  ///< free words: "1:7 ... pods", "PCIe", "RoCE", "EFA", ...
};

/// The bundled cluster that fits best, with the stated figures in place of its own.
Result<Cluster> cluster_of(const ClusterFacts& facts);

}  // namespace meshplan
