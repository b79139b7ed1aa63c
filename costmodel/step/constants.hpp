// SPDX-License-Identifier: Apache-2.0
// Which global constants were fitted on whole training runs, and on which?
//
// They stand in costmodel/data/constants.yaml alone; everything else is measured on kernels and
// collectives. `meshplan validate refit` fits them again and prints leave-one-source-out errors.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "strategies/trainer/trainer.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

struct Constants {
  double kernel_slowdown = 1;   ///< kernels in a step over the same kernels alone
  double network_slowdown = 1;  ///< collectives between nodes in a step over nccl-tests
  double other_libraries = 1;   ///< that of kernels again, where KernelTables::other_libraries
  double overlap_slowdown = 0;  ///< extra kernel seconds per second beside a collective
  double rank_skew_s = 0;       ///< see StreamRules
  double launch_scale = 1;      ///< host time per kernel over that of host.yaml
  double step_overhead_s = 0;   ///< data loading, logging, synchronisation: once a step
  double activation_slack = 0;  ///< allocator: share of activations lost to fragmentation
  std::string fitted_on;
};

/// Rows that a constant is fitted on: gold ones, or all timed ones of
/// KernelTables::other_libraries.
enum class FitRows : uint8_t { gold, other_libraries };

/// The values in the file, in a fixed order with their names and bounds, for the fit.
struct ConstantEntry {
  std::string name;
  double Constants::*field;
  double lower, upper;
  /// Kernels and collectives as measured alone; overlap: as measured side by side by
  /// arXiv 2507.03114 (18.9 % on average, see costmodel/data/constants.yaml).
  double neutral;
  FitRows rows = FitRows::gold;
};
const std::vector<ConstantEntry>& constant_entries();

/// Error (input): file missing or not as described.
Result<Constants> load_constants();

}  // namespace meshplan
