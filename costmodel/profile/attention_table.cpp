// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/attention_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "costmodel/profile/axis.hpp"
#include "costmodel/profile/csv.hpp"

namespace meshplan {
namespace {

constexpr double kNoise = 0.04;
constexpr double kPerDoubling = 0.04;

}  // namespace

double AttentionTable::analytic_seconds(const AttentionChip& chip, double head_dim, double parallel,
                                        double sequence) {
  const double flops = 2 * parallel * sequence * sequence * head_dim;
  const double bytes = 4 * 2 * parallel * sequence * head_dim;
  return chip.launch_s + flops / chip.flops_per_s + bytes / chip.bytes_per_s;
}

Result<AttentionTable> AttentionTable::read(const std::string& path, const AttentionChip& chip) {
  MESHPLAN_TRY(const Csv csv, Csv::read(path));
  AttentionTable out;
  for (size_t column = 2; column < csv.columns(); ++column)
    out.sequence_.push_back(std::log2(std::stod(csv.header(column))));
  const size_t width = out.sequence_.size();
  for (size_t row = 0; row < csv.rows(); ++row) {
    const double dim = csv.number(row, 0), parallel = csv.number(row, 1);
    if (out.planes_.empty() || out.planes_.back().head_dim != dim)
      out.planes_.push_back({dim, {}, {}, {}});
    Plane& plane = out.planes_.back();
    plane.parallel.push_back(std::log2(parallel));
    for (size_t s = 0; s < width; ++s) {
      const double us = csv.number(row, s + 2);
      const double model = analytic_seconds(chip, dim, parallel, std::exp2(out.sequence_[s]));
      plane.log.push_back(std::log(us * 1e-6 / model));
      plane.measured.push_back(!std::isnan(us));
    }
  }
  if (out.planes_.empty() || width == 0)
    return Diagnostic{ErrorKind::input, "table without a measured point", path};
  for (Plane& plane : out.planes_)  // too large to measure: as the next smaller one
    for (size_t i = 0; i < plane.log.size(); ++i) {
      if (!std::isnan(plane.log[i])) continue;
      if (i % width > 0 && !std::isnan(plane.log[i - 1]))
        plane.log[i] = plane.log[i - 1];
      else
        plane.log[i] = i >= width ? plane.log[i - width] : 0;
    }
  return out;
}

void AttentionTable::in_plane(const Plane& plane, double parallel, double sequence, double share,
                              Residual& into) const {
  const auto [i, wi] = locate(plane.parallel, parallel);
  const auto [j, wj] = locate(sequence_, sequence);
  const size_t width = sequence_.size();
  double least = std::numeric_limits<double>::infinity(), most = -least;
  for (unsigned corner = 0; corner < 4; ++corner) {
    const bool up = (corner & 1u) != 0, right = (corner & 2u) != 0;
    const double weight = (up ? wi : 1 - wi) * (right ? wj : 1 - wj);
    if (weight == 0) continue;
    const size_t cell = (i + (up ? 1 : 0)) * width + j + (right ? 1 : 0);
    into.log += share * weight * plane.log[cell];
    into.exact = into.exact && weight == 1 && plane.measured[cell];
    least = std::min(least, plane.log[cell]);
    most = std::max(most, plane.log[cell]);
  }
  into.error = std::max(into.error, (most - least) / 4);
}

AttentionTable::Residual AttentionTable::residual(double head_dim, double parallel,
                                                  double sequence) const {
  double p = std::log2(parallel), s = std::log2(sequence);
  const double outside = std::max({0.0, s - sequence_.back(), sequence_.front() - s});
  // A longer sequence gives as many more tiles as it has more rows: it fills the device like the
  // longest one of the table with that many more heads.
  if (s > sequence_.back()) {
    p += s - sequence_.back();
    s = sequence_.back();
  }
  Residual out;
  out.exact = true;
  size_t above = 0;
  while (above < planes_.size() && planes_[above].head_dim < head_dim) ++above;
  if (above == planes_.size() || above == 0 || planes_[above].head_dim == head_dim) {
    const Plane& plane = planes_[std::min(above, planes_.size() - 1)];
    in_plane(plane, p, s, 1, out);
    out.exact = out.exact && plane.head_dim == head_dim;
    out.error += kPerDoubling * std::abs(std::log2(head_dim / plane.head_dim));
  } else {
    const Plane &low = planes_[above - 1], &high = planes_[above];
    const double w = std::log(head_dim / low.head_dim) / std::log(high.head_dim / low.head_dim);
    in_plane(low, p, s, 1 - w, out);
    in_plane(high, p, s, w, out);
    out.exact = false;
  }
  out.exact = out.exact && outside == 0;
  out.error = std::hypot(out.error, kNoise) + kPerDoubling * outside;
  return out;
}

std::vector<double> AttentionTable::leave_one_out() const {
  std::vector<double> out;
  const size_t width = sequence_.size();
  for (const Plane& plane : planes_)
    for (size_t i = 1; i + 1 < plane.parallel.size(); ++i)
      for (size_t j = 0; j < width; ++j) {
        const size_t self = i * width + j, lo = self - width, hi = self + width;
        if (!plane.measured[self] || !plane.measured[lo] || !plane.measured[hi]) continue;
        const double gap = plane.parallel[i + 1] - plane.parallel[i - 1];
        const double w = (plane.parallel[i] - plane.parallel[i - 1]) / gap;
        const double guess = (1 - w) * plane.log[lo] + w * plane.log[hi];
        out.push_back(std::abs(std::exp(guess - plane.log[self]) - 1));
      }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace meshplan
