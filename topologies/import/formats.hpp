// SPDX-License-Identifier: Apache-2.0
// The readers behind import_topology, one a format, and what they share.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/import/import.hpp"

namespace meshplan {

Result<Imported> import_nvidia_smi(const std::string& text, const std::string& name,
                                   const ImportHints& hints);
Result<Imported> import_nccl_xml(const std::string& text, const std::string& name,
                                 const ImportHints& hints);
Result<Imported> import_slurm(const std::string& text, const std::string& name,
                              const ImportHints& hints);

/// The inside of one node as both node formats state it.
struct NodeFacts {
  int64_t gpus = 0;
  std::vector<std::vector<int64_t>> links;  ///< NVLinks between each pair of GPUs
  int64_t switch_links = 0;                 ///< NVLinks of one GPU to NVSwitches, if known as such
  int64_t nics = 0;                         ///< that serve GPUs
  double nic_bytes_per_s = 0;               ///< 0: not stated
};

/// Puts the facts into the bundled cluster of the GPU and notes what they do not say.
Result<Imported> import_node(const NodeFacts& facts, const Gpu& gpu, const std::string& name,
                             const ImportHints& hints);

}  // namespace meshplan
