// SPDX-License-Identifier: Apache-2.0
// How fast are NCCL's collectives between GPUs, and how much slower are products beside one? For
// every group size and level of links, see rank_groups.hpp.
#pragma once
#include <functional>
#include <map>

#include "costmodel/cpu/cpu_profile.hpp"
#include "profiler/comm/world.hpp"

namespace meshplan::cuda {

struct CommunicationProfile {
  std::vector<CpuTables> tables;  ///< collectives alone, by number of ranks and nodes
  /// Time of products while all GPUs reduce, over their time alone; by ranks and nodes.
  std::map<std::pair<int, int>, double> product_slowdown;
};

struct CommunicationOptions {
  bool quick = false;          ///< sizes four times apart instead of twice
  std::function<bool()> late;  ///< asked before each size, on rank 0
  std::function<void(const std::string&)> tell;
};
/// All ranks of the world call it, each with its own GPU of its computer; rank 0 gets the answer.
/// Error: of NCCL or CUDA.
Result<CommunicationProfile> profile_communication(World& base, int device,
                                                   const CommunicationOptions& options);

}  // namespace meshplan::cuda
