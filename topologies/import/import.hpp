// SPDX-License-Identifier: Apache-2.0
// What does a machine's own description say, in the terms of a cluster file?
//
// Read: the matrix of `nvidia-smi topo -m` and the XML of NCCL_TOPO_DUMP_FILE (one node: GPUs,
// NVLinks, NICs), Slurm's topology.conf (the fabric above the nodes: tree, or blocks such as NVL72
// racks). None says everything; what comes from the bundled cluster of the GPU instead is listed in
// Cluster::assumed, and what was read in `found`.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan {

/// What the user knows beside the file; empty and 0: not given.
struct ImportHints {
  std::string gpu;             ///< id or alias; nvidia-smi and Slurm do not name the GPU
  int64_t nodes = 0;           ///< ignored where the file lists the nodes
  int64_t gpus_per_node = 0;   ///< for Slurm
  double nic_bytes_per_s = 0;  ///< one NIC, one direction; NCCL's file has its own
};

struct Imported {
  std::string kind;  ///< "nvidia-smi topo -m", "NCCL topology", "Slurm topology.conf"
  Cluster cluster;
  std::vector<std::string> found;
};

/// The format is recognised by the text; `name` stands in messages and names the cluster. Errors:
/// usage (a needed hint is missing or misspelt), input (not one of the formats, or broken, with
/// line).
Result<Imported> import_topology(const std::string& text, const std::string& name,
                                 const ImportHints& hints);

/// "node[1-3,08],gpu7" -> node1 node2 node3 node08 gpu7 (Slurm's hostlist expression).
/// Error (input): unbalanced or empty brackets, more than a million names.
Result<std::vector<std::string>> expand_hostlist(const std::string& text);

}  // namespace meshplan
