// SPDX-License-Identifier: Apache-2.0
// What does this GPU really do? Times the executor's kernels, transfers to and from the host and,
// where there are several GPUs, NCCL; the result is a profile like that of a CPU (costmodel/cpu),
// read by the same code. Never run on a GPU yet: see validate/README.md.
#pragma once
#include <functional>
#include <string>

#include "costmodel/cpu/cpu_profile.hpp"
#include "profiler/comm/world.hpp"

namespace meshplan {

struct CudaProfileOptions {
  bool quick = false;       ///< a coarse grid, some tens of seconds
  double budget_s = 180;    ///< no new point is begun after this
  double tolerance = 0.03;  ///< an interval is not divided further where interpolation does better
  double seconds_per_point = 0.02;
  std::string folder;  ///< whose storage is measured; empty: the temporary one
  std::function<void(const std::string& what)> progress;  ///< may be empty
};

/// Error (missing): a build without CUDA, no driver, no GPU, no cuBLASLt.
/// launched: its processes have a GPU each and all call it; rank 0 gets the profile, with NCCL
/// between all group sizes and nodes.
Result<CpuProfile> profile_cuda(const CudaProfileOptions& options, World* launched = nullptr);

}  // namespace meshplan
