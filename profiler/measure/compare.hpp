// SPDX-License-Identifier: Apache-2.0
// Where do two profiles differ?
#pragma once
#include <string>
#include <vector>

#include "costmodel/cpu/cpu_profile.hpp"

namespace meshplan {

/// Ratio of the second profile's times to the first's, at the points measured in the first.
struct ProfileDifference {
  int ranks = 1, nodes = 1;
  std::string kernel;
  size_t points = 0;  ///< 0: in one of the two profiles only
  double low = 0, median = 0, high = 0;
};
/// By ranks and kernel.
std::vector<ProfileDifference> compare_profiles(const CpuProfile& first, const CpuProfile& second);

}  // namespace meshplan
