// SPDX-License-Identifier: Apache-2.0
#include "planner/report/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "planner/report/format.hpp"

namespace meshplan::report {

std::string plot(const std::string& title, const std::vector<PlotLine>& lines, int width,
                 int height) {
  std::set<double> xs;
  double most = 0;
  for (const PlotLine& line : lines) {
    for (const auto& [x, y] : line.points) {
      xs.insert(x);
      most = std::max(most, y);
    }
  }
  if (xs.empty() || most <= 0) return "";
  constexpr int kLeft = 10;  // columns of the labels of y
  const int columns = width - kLeft - 4;
  const double low = std::log(*xs.begin()), high = std::log(*xs.rbegin());
  const auto across = [&](double x) {
    return high > low ? static_cast<int>(std::lround((std::log(x) - low) / (high - low) *
                                                     static_cast<double>(columns - 1)))
                      : columns / 2;
  };
  std::vector<std::string> grid(static_cast<size_t>(height),
                                std::string(static_cast<size_t>(columns), ' '));
  for (const PlotLine& line : lines) {
    for (const auto& [x, y] : line.points) {
      const auto up = static_cast<int>(std::lround(y / most * (height - 1)));
      grid[static_cast<size_t>(height - 1 - std::max(0, up))][static_cast<size_t>(across(x))] =
          line.mark;
    }
  }
  std::string out = title + '\n';
  for (int row = 0; row < height; ++row) {
    const bool labelled = row % 4 == 0 || row == height - 1;
    const double value = most * (height - 1 - row) / (height - 1);
    std::string text = grid[static_cast<size_t>(row)];
    text.erase(text.find_last_not_of(' ') + 1);
    out += fmt::format("{:>{}} |{}\n", labelled ? significant(value) : "", kLeft, text);
  }
  out += std::string(kLeft + 1, ' ') + '+' + std::string(static_cast<size_t>(columns), '-') + '\n';
  std::string labels;
  for (const double x : xs) {  // as many as have room
    const std::string text = grouped(std::llround(x));
    const int at = std::min(across(x), columns - static_cast<int>(text.size()));
    if (!labels.empty() && static_cast<int>(labels.size()) + 2 > at) continue;
    labels.resize(static_cast<size_t>(std::max(0, at)), ' ');
    labels += text;
  }
  out += std::string(kLeft + 2, ' ') + labels + '\n';
  std::string legend;
  for (const PlotLine& line : lines)
    if (!line.points.empty())
      legend += fmt::format("{}{} {}", legend.empty() ? "" : ", ", line.mark, line.name);
  return out + std::string(kLeft + 2, ' ') + wrapped(legend, kLeft + 2, width) + '\n';
}

}  // namespace meshplan::report
