// SPDX-License-Identifier: Apache-2.0
// How does a curve look in a terminal? Letters on a grid, both axes labelled, no colour needed.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace meshplan::report {

struct PlotLine {
  char mark = '*';
  std::string name;
  std::vector<std::pair<double, double>> points;  ///< x, y; x > 0
};
/// x on a logarithmic axis, y from zero; a later line is drawn above an earlier one. Lines of at
/// most `width` columns; empty without points.
std::string plot(const std::string& title, const std::vector<PlotLine>& lines, int width = 100,
                 int height = 14);

}  // namespace meshplan::report
