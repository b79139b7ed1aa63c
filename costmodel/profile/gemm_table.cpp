// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/gemm_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "costmodel/profile/axis.hpp"
#include "costmodel/profile/csv.hpp"

namespace meshplan {
namespace {

struct Tile {
  double rows, columns, efficiency;
};
// Output tiles that libraries choose from, with the share of an SM's peak that each sustains.
constexpr Tile kTiles[] = {{256, 128, 0.85}, {128, 256, 0.85}, {128, 128, 0.80},
                           {64, 128, 0.65},  {128, 64, 0.65},  {64, 64, 0.50}};
constexpr double kPrologue = 64;       // of k: filling the pipeline of a tile
constexpr double kLeastSplit = 256;    // of k per slice when a product is split along k
constexpr double kNoise = 0.03;        // repeated measurements of one shape
constexpr double kPerDoubling = 0.05;  // error per doubling outside of the grid

double waves_seconds(const GemmChip& chip, const GemmShape& s) {
  const double sms = chip.sm_count;
  const double per_sm = chip.flops_per_s / sms;
  const auto m = static_cast<double>(s.m), n = static_cast<double>(s.n);
  const auto k = static_cast<double>(s.k), groups = static_cast<double>(s.groups);
  double best = std::numeric_limits<double>::infinity();
  for (const Tile& tile : kTiles) {
    const double tiles = groups * std::ceil(m / tile.rows) * std::ceil(n / tile.columns);
    for (const double split : {1.0, 2.0, 4.0, 8.0}) {
      if (split > 1 && (tiles >= sms || k / split < kLeastSplit)) break;
      const double waves = std::ceil(tiles * split / sms);
      double time = waves * 2 * tile.rows * tile.columns * (k / split + kPrologue) /
                    (per_sm * tile.efficiency);
      if (split > 1) time += groups * m * n * 4 * (split + 1) / chip.bytes_per_s * 0.5;
      best = std::min(best, time);
    }
  }
  return best;
}

}  // namespace

double analytic_gemm_seconds(const GemmChip& chip, const GemmShape& s) {
  const auto m = static_cast<double>(s.m), n = static_cast<double>(s.n);
  const auto k = static_cast<double>(s.k), groups = static_cast<double>(s.groups);
  const double flops = 2 * groups * m * n * k;
  const double bytes = groups * (static_cast<double>(s.in_bytes) * (m * k + n * k) +
                                 static_cast<double>(s.out_bytes) * m * n);
  const double smooth = chip.launch_s + flops / chip.flops_per_s + bytes / chip.bytes_per_s;
  if (chip.quantisation == 0) return smooth;
  const double compute = waves_seconds(chip, s), memory = bytes / (0.85 * chip.bytes_per_s);
  const double ratio = std::min(compute, memory) / std::max(compute, memory);
  const double square = ratio * ratio;
  const double waves =
      chip.launch_s + std::max(compute, memory) * std::sqrt(std::sqrt(1 + square * square));
  return smooth * std::pow(waves / smooth, chip.quantisation);
}

Result<GemmTable> GemmTable::read(const std::string& path, const GemmChip& chip,
                                  const GemmShape& types) {
  MESHPLAN_TRY(const Csv csv, Csv::read(path));
  GemmTable out;
  out.chip_ = chip;
  out.types_ = types;
  std::vector<Point> points;
  std::map<int64_t, size_t> count[3];
  for (size_t row = 0; row < csv.rows(); ++row) {
    const double m = csv.number(row, 0), n = csv.number(row, 1);
    for (size_t column = 2; column < csv.columns(); ++column) {
      const double us = csv.number(row, column);
      if (std::isnan(us)) continue;
      points.push_back({static_cast<int64_t>(m), static_cast<int64_t>(n),
                        std::stoll(csv.header(column)), us * 1e-6});
      ++count[0][points.back().m];
      ++count[1][points.back().n];
      ++count[2][points.back().k];
    }
  }
  if (points.empty()) return Diagnostic{ErrorKind::input, "table without a measured point", path};
  // A row of the grid has most of its points; the rows one token above a tile border have few.
  for (int d = 0; d < 3; ++d) {
    size_t most = 0;
    for (const auto& [value, cells] : count[d]) most = std::max(most, cells);
    for (const auto& [value, cells] : count[d])
      if (4 * cells >= most || d > 0)
        out.axis_[static_cast<size_t>(d)].push_back(std::log2(static_cast<double>(value)));
  }
  const size_t cells = out.axis_[0].size() * out.axis_[1].size() * out.axis_[2].size();
  out.log_.assign(cells, std::numeric_limits<float>::quiet_NaN());
  out.measured_.assign(cells, false);
  for (const Point& p : points) {
    std::array<size_t, 3> index = {};
    const std::array<int64_t, 3> value = {p.m, p.n, p.k};
    bool on_grid = true;
    for (size_t d = 0; d < 3; ++d) {
      const double x = std::log2(static_cast<double>(value[d]));
      const auto& axis = out.axis_[d];
      index[d] = static_cast<size_t>(std::lower_bound(axis.begin(), axis.end(), x) - axis.begin());
      on_grid = on_grid && index[d] < axis.size() && axis[index[d]] == x;
    }
    if (!on_grid) {
      out.held_out_.push_back(p);
      continue;
    }
    GemmShape shape = types;
    shape.m = p.m, shape.n = p.n, shape.k = p.k;
    const size_t cell = out.at(index[0], index[1], index[2]);
    out.log_[cell] = static_cast<float>(std::log(p.seconds / analytic_gemm_seconds(chip, shape)));
    out.measured_[cell] = true;
  }
  out.fill_gaps();
  return out;
}

/// What was not measured takes the residual of the neighbour with the next smaller m (shapes too
/// large to measure), else of the nearest measured k or n.
void GemmTable::fill_gaps() {
  const size_t mi = axis_[0].size(), ni = axis_[1].size(), ki = axis_[2].size();
  const auto carry = [&](size_t from, size_t to) {
    if (std::isnan(log_[to]) && !std::isnan(log_[from])) log_[to] = log_[from];
  };
  for (size_t i = 1; i < mi; ++i)
    for (size_t j = 0; j < ni; ++j)
      for (size_t l = 0; l < ki; ++l) carry(at(i - 1, j, l), at(i, j, l));
  for (size_t i = mi; i-- > 1;)
    for (size_t j = 0; j < ni; ++j)
      for (size_t l = 0; l < ki; ++l) carry(at(i, j, l), at(i - 1, j, l));
  for (size_t i = 0; i < mi; ++i)
    for (size_t j = 0; j < ni; ++j) {
      for (size_t l = 1; l < ki; ++l) carry(at(i, j, l - 1), at(i, j, l));
      for (size_t l = ki; l-- > 1;) carry(at(i, j, l), at(i, j, l - 1));
    }
  for (size_t i = 0; i < mi; ++i)
    for (size_t l = 0; l < ki; ++l) {
      for (size_t j = 1; j < ni; ++j) carry(at(i, j - 1, l), at(i, j, l));
      for (size_t j = ni; j-- > 1;) carry(at(i, j, l), at(i, j - 1, l));
    }
  for (float& value : log_)
    if (std::isnan(value)) value = 0;
}

GemmTable::Residual GemmTable::residual(double m, double n, double k) const {
  const std::array<double, 3> x = {std::log2(m), std::log2(n), std::log2(k)};
  std::array<size_t, 3> low = {};
  std::array<double, 3> weight = {};
  double outside = 0;
  for (size_t d = 0; d < 3; ++d) {
    std::tie(low[d], weight[d]) = locate(axis_[d], x[d]);
    outside += std::max({0.0, axis_[d].front() - x[d], x[d] - axis_[d].back()});
  }
  Residual out;
  out.exact = outside == 0;
  double least = std::numeric_limits<double>::infinity(), most = -least;
  for (unsigned corner = 0; corner < 8; ++corner) {
    double share = 1;
    std::array<size_t, 3> index = low;
    for (size_t d = 0; d < 3; ++d) {
      const bool upper = ((corner >> d) & 1u) != 0;
      share *= upper ? weight[d] : 1 - weight[d];
      if (upper && axis_[d].size() > 1) ++index[d];
    }
    if (share == 0) continue;
    const size_t cell = at(index[0], index[1], index[2]);
    const double value = log_[cell];
    out.log += share * value;
    out.exact = out.exact && share == 1 && measured_[cell];
    least = std::min(least, value);
    most = std::max(most, value);
  }
  // Residuals that differ by s between the corners are wrong by about s/4 in the middle.
  const double spread = (most - least) / 4;
  out.error = std::sqrt(kNoise * kNoise + spread * spread) + kPerDoubling * outside;
  return out;
}

double GemmTable::seconds(const GemmChip& chip, const GemmShape& shape, Residual* used) const {
  // Groups fill the device together: their residual is that of the product stacked along m.
  const Residual r = residual(static_cast<double>(shape.m * shape.groups),
                              static_cast<double>(shape.n), static_cast<double>(shape.k));
  if (used != nullptr) *used = r;
  return analytic_gemm_seconds(chip, shape) * std::exp(r.log);
}

std::vector<double> GemmTable::leave_one_out(int64_t smallest) const {
  const double least = std::log2(static_cast<double>(smallest));
  std::vector<double> out;
  std::array<size_t, 3> i = {};
  for (i[0] = 0; i[0] < axis_[0].size(); ++i[0])
    for (i[1] = 0; i[1] < axis_[1].size(); ++i[1])
      for (i[2] = 0; i[2] < axis_[2].size(); ++i[2]) {
        const size_t self = at(i[0], i[1], i[2]);
        if (!measured_[self]) continue;
        if (axis_[0][i[0]] < least || axis_[1][i[1]] < least || axis_[2][i[2]] < least) continue;
        double sum = 0, weights = 0;
        for (size_t d = 0; d < 3; ++d) {
          const auto& axis = axis_[d];
          if (i[d] == 0 || i[d] + 1 == axis.size()) continue;
          auto below = i, above = i;
          --below[d], ++above[d];
          const size_t lo = at(below[0], below[1], below[2]), hi = at(above[0], above[1], above[2]);
          if (!measured_[lo] || !measured_[hi]) continue;
          const double gap = axis[above[d]] - axis[below[d]];
          const double w = (axis[i[d]] - axis[below[d]]) / gap;
          sum += ((1 - w) * log_[lo] + w * log_[hi]) / (gap * gap);
          weights += 1 / (gap * gap);
        }
        if (weights > 0) out.push_back(std::abs(std::exp(sum / weights - log_[self]) - 1));
      }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<double> GemmTable::held_out() const {
  std::vector<double> out;
  for (const Point& p : held_out_) {
    GemmShape shape = types_;
    shape.m = p.m, shape.n = p.n, shape.k = p.k;
    out.push_back(std::abs(seconds(chip_, shape) / p.seconds - 1));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace meshplan
