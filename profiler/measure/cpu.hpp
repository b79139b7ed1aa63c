// SPDX-License-Identifier: Apache-2.0
// What does this computer's CPU really do? Times the kernels of the executor and the collectives
// between threads, on the sizes of a small training run.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "costmodel/cpu/cpu_profile.hpp"

namespace meshplan {

struct CpuProfileOptions {
  std::vector<int> ranks = {1, 2};    ///< ranks that work at the same time
  double seconds_per_point = 0.02;    ///< of measuring
  double largest_flops = 4e9;         ///< products beyond are left out
  double largest_elements = 1 << 23;  ///< the same of kernels that stream, of collectives in fp32
  bool only_graphs = false;           ///< leave out what graph workloads do not use
  std::string folder;  ///< where partitions of graphs are written; empty: the temporary one
  std::function<void(const std::string& what)> progress;  ///< may be empty
};

Result<CpuProfile> profile_cpu(const CpuProfileOptions& options);

}  // namespace meshplan
