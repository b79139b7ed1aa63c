// SPDX-License-Identifier: Apache-2.0
// Which points of a grid of sizes have to be measured so that what lies between them is known?
#pragma once
#include <functional>

#include "costmodel/cpu/grid_table.hpp"

namespace meshplan {

struct GridQuestion {
  std::vector<std::vector<double>> sizes;  ///< that may be measured, of each axis, ascending
  double tolerance = 0;                    ///< relative error of interpolation; 0: all points
  std::function<bool()> stop;              ///< asked before each point; may be empty
};

struct MeasuredGrid {
  GridTable table;
  size_t points = 0;  ///< measured
  double error = 0;   ///< largest one of interpolation that was seen and left
  bool stopped = false;
  bool bare = false;  ///< stopped before the ends of all axes were measured: good for nothing
};

/// The ends of each axis first; then the middle of an interval is measured where the other axes are
/// at their ends and middle, and becomes a size of the axis if interpolation misses it by more than
/// the tolerance. measure: seconds per unit of work, 0: the point is left out.
Result<MeasuredGrid> measure_grid(
    const GridQuestion& question,
    const std::function<Result<double>(const std::vector<double>& sizes)>& measure);

}  // namespace meshplan
