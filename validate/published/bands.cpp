// SPDX-License-Identifier: Apache-2.0
#include "validate/published/bands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace meshplan {
namespace {

struct Weighted {
  double value, weight;
};

/// Smallest value at which the weights below reach the share.
double quantile(std::vector<Weighted> values, double share) {
  std::sort(values.begin(), values.end(),
            [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double total = 0, sum = 0;
  for (const Weighted& v : values) total += v.weight;
  for (const Weighted& v : values) {
    sum += v.weight;
    if (sum >= share * total) return v.value;
  }
  return values.empty() ? 0 : values.back().value;
}

struct LogBand {
  double low = 0, high = 0;
};

Band widened(const LogBand& band, double factor) {
  const double middle = (band.low + band.high) / 2, half = (band.high - band.low) / 2 * factor;
  return {std::exp(middle - half), std::exp(middle + half)};
}

LogBand logs(const Band& band) { return {std::log(band.low_ratio), std::log(band.high_ratio)}; }

bool covers(const Band& band, double log_ratio) {
  const double ratio = std::exp(log_ratio);
  return band.low_ratio <= ratio && ratio <= band.high_ratio;
}

}  // namespace

ErrorBands learn_bands(const std::vector<BandRow>& rows) {
  std::map<std::string, int> per_family;
  for (const BandRow& row : rows) ++per_family[row.family];
  ErrorBands out;
  std::map<BandClass, LogBand> wider;
  for (int level = 0; level < kBandLevels; ++level) {
    std::map<BandClass, std::vector<const BandRow*>> classes;
    for (const BandRow& row : rows) classes[at_level(row.of, level)].push_back(&row);
    std::map<BandClass, LogBand> here;
    for (const auto& [of, members] : classes) {
      std::vector<Weighted> values;
      for (const BandRow* row : members)
        values.push_back({row->log_ratio, 1 / std::sqrt(double(per_family[row->family]))});
      const double tail = (1 - kBandCoverage) / 2;
      LogBand band{quantile(values, tail), quantile(values, 1 - tail)};
      if (level > 0) {
        const double own = double(members.size()) / (double(members.size()) + kShrinkage);
        const LogBand& parent = wider.at(at_level(of, level - 1));
        band = {own * band.low + (1 - own) * parent.low, own * band.high + (1 - own) * parent.high};
      }
      here[of] = band;
      out.entries.push_back({level, of, widened(band, 1), static_cast<int>(members.size())});
    }
    wider = std::move(here);
  }
  return out;
}

Result<BandFit> fit_bands(const std::vector<BandRow>& rows) {
  std::set<std::string> families;
  for (const BandRow& row : rows) families.insert(row.family);
  if (families.size() < 2)
    return Diagnostic{ErrorKind::check, "bands need rows of at least two sources", "",
                      fmt::format("{}", families.size())};
  // Each row with the band that was learnt without its source.
  std::vector<std::pair<const BandRow*, LogBand>> strangers;
  for (const std::string& family : families) {
    std::vector<BandRow> others;
    for (const BandRow& row : rows) {
      if (row.family != family) others.push_back(row);
    }
    const ErrorBands learnt = learn_bands(others);
    for (const BandRow& row : rows) {
      if (row.family == family) strangers.emplace_back(&row, logs(learnt.band_for(row.of)));
    }
  }
  // The factor at which a row is just covered; its quantile covers the wanted share.
  std::vector<Weighted> factors;
  for (const auto& [row, band] : strangers) {
    const double half = std::max(1e-6, (band.high - band.low) / 2);
    factors.push_back({std::abs(row->log_ratio - (band.low + band.high) / 2) / half, 1});
  }
  BandFit out;
  out.bands = learn_bands(rows);
  out.bands.widening = quantile(factors, kBandCoverage);
  for (auto& entry : out.bands.entries) entry.band = widened(logs(entry.band), out.bands.widening);
  std::map<std::string, BandFit::Line> lines;
  int covered = 0;
  for (const auto& [row, band] : strangers) {
    const Band wide = widened(band, out.bands.widening * (1 + 1e-9));
    BandFit::Line& line = lines[row->family];
    line.family = row->family;
    ++line.rows;
    if (!covers(wide, row->log_ratio)) continue;
    ++covered;
    line.covered += 1;
  }
  for (auto& [family, line] : lines) {
    line.covered /= line.rows;
    out.left_out.push_back(line);
  }
  out.bands.coverage_left_out = double(covered) / double(rows.size());
  for (const BandRow& row : rows) {
    const LogBand band = logs(out.bands.band_for(row.of));
    out.mean_half_width += (band.high - band.low) / 2 / double(rows.size());
  }
  return out;
}

std::string bands_text(const std::string& quantity, const BandFit& fit) {
  std::string out = fmt::format(
      "80 percent intervals of {}: {:.1f} % of rows covered by bands learnt without their source; "
      "widened by {:.2f}; mean half width {:.1f} %\n\n{:<56}{:>6}{:>10}\n",
      quantity, 100 * fit.bands.coverage_left_out, fit.bands.widening,
      100 * std::expm1(fit.mean_half_width), "source left out", "rows", "covered");
  for (const auto& line : fit.left_out)
    out += fmt::format("  {:<54.54}{:>6}{:>8.0f} %\n", line.family, line.rows, 100 * line.covered);
  return out;
}

}  // namespace meshplan
