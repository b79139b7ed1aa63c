// SPDX-License-Identifier: Apache-2.0
// How fast are NCCL's collectives between the GPUs of this computer, and how much slower are
// products beside one? For every group of the first 2, 4, ... GPUs, and of all.
#pragma once
#include <functional>
#include <map>

#include "costmodel/cpu/cpu_profile.hpp"

namespace meshplan::cuda {

struct CommunicationProfile {
  std::vector<CpuTables> tables;  ///< collectives alone, by number of ranks
  /// Time of products while all GPUs reduce, over their time alone; by number of ranks.
  std::map<int, double> product_slowdown;
};

struct CommunicationOptions {
  bool quick = false;          ///< sizes four times apart instead of twice
  std::function<bool()> late;  ///< asked before each size, on rank 0
  std::function<void(const std::string&)> tell;
};
/// gpus >= 2. Error: of NCCL or CUDA.
Result<CommunicationProfile> profile_communication(int gpus, const CommunicationOptions& options);

}  // namespace meshplan::cuda
