// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/measured_grid.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <set>

namespace meshplan {
namespace {

using Point = std::vector<size_t>;  ///< index into the sizes of each axis
using Measure = std::function<Result<double>(const std::vector<double>&)>;

class Search {
 public:
  Search(const GridQuestion& question, const Measure& measure)
      : question_(question), measure_(measure), chosen_(question.sizes.size()) {}

  Result<MeasuredGrid> run() {
    for (size_t d = 0; d < chosen_.size(); ++d) {
      const size_t last = question_.sizes[d].size() - 1;
      chosen_[d] = {0, last};
      for (size_t i = 1; question_.tolerance <= 0 && i < last; ++i) chosen_[d].insert(i);
      open_.push_back({d, 0, last});
    }
    MESHPLAN_CHECK(measure_all());
    out_.bare = out_.stopped;
    for (; !open_.empty() && question_.tolerance > 0 && !out_.stopped; open_.pop_front()) {
      MESHPLAN_CHECK(divide(open_.front()));
    }
    return table();
  }

 private:
  struct Interval {
    size_t axis, low, high;
  };

  std::vector<double> sizes_at(const Point& point) const {
    std::vector<double> sizes;
    for (size_t d = 0; d < point.size(); ++d) sizes.push_back(question_.sizes[d][point[d]]);
    return sizes;
  }
  /// 0: left out, or there is no time left.
  Result<double> at(const Point& point) {
    const auto found = values_.find(point);
    if (found != values_.end()) return found->second;
    out_.stopped = out_.stopped || (out_.points > 0 && question_.stop && question_.stop());
    if (out_.stopped) return 0.0;
    MESHPLAN_TRY(const double value, measure_(sizes_at(point)));
    if (value > 0) ++out_.points;
    return values_[point] = value;
  }
  /// Every combination of one index per axis.
  static std::vector<Point> product(const std::vector<std::set<size_t>>& axes) {
    std::vector<Point> points{{}};
    for (const std::set<size_t>& axis : axes) {
      std::vector<Point> longer;
      for (const Point& point : points) {
        for (const size_t i : axis) {
          longer.push_back(point);
          longer.back().push_back(i);
        }
      }
      points = std::move(longer);
    }
    return points;
  }
  Status measure_all() {
    for (const Point& point : product(chosen_)) MESHPLAN_CHECK(at(point));
    return Done{};
  }

  Status divide(const Interval& interval) {
    const auto [axis, low, high] = interval;
    const size_t middle = (low + high) / 2;
    if (middle == low) return Done{};
    std::vector<std::set<size_t>> probes;
    for (const std::set<size_t>& axis_chosen : chosen_) {
      const auto half = static_cast<std::ptrdiff_t>(axis_chosen.size() / 2);
      probes.push_back(
          {*axis_chosen.begin(), *std::next(axis_chosen.begin(), half), *axis_chosen.rbegin()});
    }
    probes[axis] = {middle};
    const std::vector<double>& sizes = question_.sizes[axis];
    const double share = std::log(sizes[middle] / sizes[low]) / std::log(sizes[high] / sizes[low]);
    double error = 0;
    for (Point point : product(probes)) {
      MESHPLAN_TRY(const double found, at(point));
      point[axis] = low;
      MESHPLAN_TRY(const double below, at(point));
      point[axis] = high;
      MESHPLAN_TRY(const double above, at(point));
      if (found <= 0 || below <= 0 || above <= 0) continue;
      const double guess = std::exp((1 - share) * std::log(below) + share * std::log(above));
      error = std::max(error, std::abs(guess / found - 1));
    }
    if (out_.stopped) return Done{};
    if (error <= question_.tolerance) {
      out_.error = std::max(out_.error, error);
      if (chosen_.size() == 1) chosen_[axis].insert(middle);  // it is there
      return Done{};
    }
    chosen_[axis].insert(middle);
    MESHPLAN_CHECK(measure_all());
    open_.push_back({axis, low, middle});
    open_.push_back({axis, middle, high});
    return Done{};
  }

  Result<MeasuredGrid> table() {
    std::vector<std::vector<double>> axes;
    for (size_t d = 0; d < chosen_.size(); ++d) {
      std::vector<double>& axis = axes.emplace_back();
      for (const size_t i : chosen_[d]) axis.push_back(question_.sizes[d][i]);
    }
    std::vector<double> values;
    for (const Point& point : product(chosen_)) {
      const auto found = values_.find(point);
      values.push_back(found == values_.end() ? 0 : found->second);
    }
    MESHPLAN_TRY(out_.table, GridTable::make(std::move(axes), std::move(values)));
    return std::move(out_);
  }

  const GridQuestion& question_;
  const Measure& measure_;
  std::vector<std::set<size_t>> chosen_;
  std::map<Point, double> values_;
  std::deque<Interval> open_;
  MeasuredGrid out_;
};

}  // namespace

Result<MeasuredGrid> measure_grid(const GridQuestion& question, const Measure& measure) {
  return Search(question, measure).run();
}

}  // namespace meshplan
