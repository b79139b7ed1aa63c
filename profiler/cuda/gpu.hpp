// SPDX-License-Identifier: Apache-2.0
// Is there a GPU, and which? Without any type of CUDA, for callers outside this folder; in a build
// without CUDA the functions are there and say so (absent.cpp).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::cuda {

struct GpuFacts {
  std::string name;
  int compute_capability = 0;  ///< 90 for 9.0
  int sms = 0;
  int64_t memory_bytes = 0, l2_bytes = 0;
  int driver = 0, runtime = 0;  ///< CUDA versions as 13000
};

/// Facts of every GPU. Error (missing): a build without CUDA, no driver, no GPU.
Result<std::vector<GpuFacts>> gpus();

/// Versions of cuBLASLt, cuDNN and NCCL as they number themselves ("130100"), of those that are
/// found.
std::map<std::string, std::string> library_versions();

}  // namespace meshplan::cuda
