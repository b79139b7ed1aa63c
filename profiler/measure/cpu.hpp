// SPDX-License-Identifier: Apache-2.0
// What does this computer's CPU really do? Times the kernels of the executor and the collectives
// between threads, on the sizes of a small training run.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "costmodel/cpu/cpu_profile.hpp"
#include "profiler/comm/world.hpp"

namespace meshplan {

struct CpuProfileOptions {
  std::vector<int> ranks = {1, 2};    ///< ranks that work at the same time
  double seconds_per_point = 0.02;    ///< of measuring
  double largest_flops = 4e9;         ///< products beyond are left out
  double largest_elements = 1 << 23;  ///< the same of kernels that stream, of collectives in fp32
  bool median = false;                ///< of five timings, not the shortest
  bool only_graphs = false;           ///< leave out what graph workloads do not use
  double tolerance = 0;               ///< of interpolation between sizes; 0: all sizes are measured
  double budget_s = 0;                ///< no point is begun after so long; 0: none is left out
  std::string folder;                 ///< whose storage is measured; empty: the temporary one
  std::function<void(const std::string& what)> progress;  ///< may be empty
};

/// Ranks are threads; with `launched` they are its processes instead, which all call it and get the
/// tables of all of them at work (rank 0; the others none).
Result<CpuProfile> profile_cpu(const CpuProfileOptions& options, World* launched = nullptr);

}  // namespace meshplan
