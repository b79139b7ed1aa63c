// SPDX-License-Identifier: Apache-2.0
// The constants of collectives.yaml in SI units; what each means stands there with its source.
#pragma once
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

struct HopCosts {
  double base_s, intra_hop_s, inter_hop_s;
  double share;            ///< of the group's rate across nodes
  double cap_bytes_per_s;  ///< of that rate
};

struct CollectiveConfig {
  std::string table;
  std::string times;  ///< table whose times inside a node stand for it; its own if it has any
  std::vector<double> links_bytes_per_s;  ///< of the measured machine, for 2, 3, ... ranks
  bool nvls = false;
  double tuner_factor = 1;
  bool all_reduce_by_one_nic = false;  ///< leaves each node over one rank's share of the NICs
  HopCosts ring_ll, ring_simple, tree_ll, tree_simple;
  struct {
    double per_doubling_s, sqrt_s, share, reference_bytes_per_s;
    int64_t least_ranks_per_node;
  } nvls_tree;
  struct {
    double base_s, per_doubling_s, per_rank_s, share;
  } pat;
  struct {
    double base_s, per_peer_s;
    std::vector<double> nodes, share;
  } all_to_all;
  struct {
    double base_s, base_across_s;
    double map_s, map_bytes_per_s;            ///< across nodes; inside it takes no time of its own
    std::vector<double> ranks, share;         ///< of the links inside the node
    std::vector<double> nodes, share_across;  ///< of the NICs
  } sent_once;
  struct {
    double base_s, share;
  } p2p;
  double reference_latency_s = 0;
  double straggler_sigma = 0;

  /// Error (input): no table `id`.
  static Result<CollectiveConfig> find(const std::string& id);
};

}  // namespace meshplan
