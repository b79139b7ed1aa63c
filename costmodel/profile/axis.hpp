// SPDX-License-Identifier: Apache-2.0
// Between which two points of a table's axis does a value lie?
#pragma once
#include <algorithm>
#include <utility>
#include <vector>

namespace meshplan {

/// Index of the lower end of the interval that holds x, and the weight of the upper end. Outside of
/// the axis the nearer end; of an axis with one point {0, 0}.
inline std::pair<size_t, double> locate(const std::vector<double>& axis, double x) {
  if (axis.size() < 2 || x <= axis.front()) return {0, 0.0};
  if (x >= axis.back()) return {axis.size() - 2, 1.0};
  const auto above = std::upper_bound(axis.begin(), axis.end(), x);
  const auto i = static_cast<size_t>(above - axis.begin()) - 1;
  return {i, (x - axis[i]) / (axis[i + 1] - axis[i])};
}

}  // namespace meshplan
