// SPDX-License-Identifier: Apache-2.0
#include "costmodel/cpu/grid_table.hpp"

#include <algorithm>
#include <cmath>

namespace meshplan {
namespace {

/// Unmeasured points take over their nearest measured neighbour, one axis step at a time.
bool fill_gaps(const std::vector<std::vector<double>>& axes, std::vector<double>& values) {
  const auto gaps = [&] { return std::count(values.begin(), values.end(), 0.0); };
  if (gaps() == static_cast<std::ptrdiff_t>(values.size())) return false;
  while (gaps() > 0) {
    const std::vector<double> before = values;
    for (size_t i = 0; i < values.size(); ++i) {
      size_t stride = values.size();
      for (const std::vector<double>& axis : axes) {
        stride /= axis.size();
        const size_t at = i / stride % axis.size();
        if (values[i] == 0 && at > 0) values[i] = before[i - stride];
        if (values[i] == 0 && at + 1 < axis.size()) values[i] = before[i + stride];
      }
    }
  }
  return true;
}

}  // namespace

Result<GridTable> GridTable::make(std::vector<std::vector<double>> axes,
                                  std::vector<double> seconds_per_work) {
  const auto bad = [](const char* message) {
    return Diagnostic{.kind = ErrorKind::input, .message = message};
  };
  size_t points = 1;
  for (const std::vector<double>& axis : axes) {
    if (axis.empty() || axis.front() <= 0 || !std::is_sorted(axis.begin(), axis.end())) {
      return bad("the sizes of a grid are positive and ascend");
    }
    points *= axis.size();
  }
  if (points != seconds_per_work.size()) return bad("a grid has another number of values");
  GridTable table;
  table.axes_ = std::move(axes);
  table.values_ = seconds_per_work;
  if (!fill_gaps(table.axes_, seconds_per_work)) return bad("a grid has no measured point");
  for (const double value : seconds_per_work) {
    if (!(value > 0)) return bad("a time of a grid is not positive");
    table.logs_.push_back(std::log(value));
  }
  return table;
}

double GridTable::seconds_per_work(const std::vector<double>& sizes) const {
  // the 2^n corners around the point, with their weights
  std::vector<std::pair<size_t, double>> corners = {{0, 1.0}};
  for (size_t d = 0; d < axes_.size(); ++d) {
    const std::vector<double>& axis = axes_[d];
    const double x = std::clamp(sizes[d], axis.front(), axis.back());
    const auto above = std::upper_bound(axis.begin(), axis.end(), x);
    const size_t high = std::min(static_cast<size_t>(above - axis.begin()), axis.size() - 1);
    const size_t low = high == 0 ? 0 : high - 1;
    const double share =
        high == low ? 0 : (std::log(x) - std::log(axis[low])) / std::log(axis[high] / axis[low]);
    std::vector<std::pair<size_t, double>> next;
    for (const auto& [index, weight] : corners) {
      next.emplace_back(index * axis.size() + low, weight * (1 - share));
      if (share > 0) next.emplace_back(index * axis.size() + high, weight * share);
    }
    corners = std::move(next);
  }
  double log = 0;
  for (const auto& [index, weight] : corners) log += weight * logs_[index];
  return std::exp(log);
}

}  // namespace meshplan
