// SPDX-License-Identifier: Apache-2.0
// How fast is a kernel of a size between measured sizes? A regular grid of measured times per unit
// of work, linear between the points in the logarithms of sizes and times; the nearest outside.
#pragma once
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

class GridTable {
 public:
  GridTable() = default;
  /// axes: ascending sizes > 0 of each dimension; seconds_per_work: row-major over the axes, 0 for
  /// points that were not measured (they get the nearest measured one along the axes). Error
  /// (input): sizes do not fit together, or nothing was measured.
  static Result<GridTable> make(std::vector<std::vector<double>> axes,
                                std::vector<double> seconds_per_work);

  double seconds_per_work(const std::vector<double>& sizes) const;
  const std::vector<std::vector<double>>& axes() const { return axes_; }
  const std::vector<double>& values() const { return values_; }  ///< as handed in

 private:
  std::vector<std::vector<double>> axes_;
  std::vector<double> values_, logs_;
};

}  // namespace meshplan
