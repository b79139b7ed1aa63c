// SPDX-License-Identifier: Apache-2.0
// Are trends right, not only levels? Series of rows in which one factor varies (series.yaml), named
// subsets with a limit, and all pairs of rows that differ in one column.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "validate/published/case.hpp"
#include "validate/published/predict.hpp"

namespace meshplan {

/// A predicted row, as series see it.
struct SeriesRow {
  const Case* question = nullptr;
  const StepEstimate* estimate = nullptr;  ///< null: refused
};

struct SeriesPoint {
  std::string id, label;
  double measured = 0, predicted = 0;  ///< in the series' measure
};

struct SeriesResult {
  std::string group, what, factor, measure;
  std::vector<SeriesPoint> points;  ///< ordered by the factor
  int missing = 0;                  ///< rows without a measurement or a prediction
  // Undefined with fewer than two points.
  double measured_change = 0;   ///< last over first, minus one
  double predicted_change = 0;  ///< same
  double worst = 0;  ///< largest relative difference of the two curves, each over its first point
  bool same_sign = false;  ///< both rise, both fall, or both stay within the noise of 2 %
};

struct SubsetResult {
  std::string name, statistic;  ///< mean or worst of |error|
  double limit = 0;
  double value = 0;  ///< NaN without rows
  double signed_mean = 0;
  int rows = 0;
  bool ok = false;
};

/// Neighbouring rows, ordered by one column, that differ in nothing else (dp follows).
struct FactorTrend {
  std::string factor;
  int pairs = 0;           ///< with a measured change above 2 %
  int same_sign = 0;       ///< of those
  double median_miss = 0;  ///< median of |ln(predicted ratio / measured ratio)|, all pairs
};

/// FLOPs convention in a source's own words; full square when they say nothing else.
FlopsConvention convention_of(const std::string& words);

/// Seconds of the measured step: printed, or from tokens/s, or from TFLOP/s by the source's
/// convention.
std::optional<double> measured_step_s(const Case& question);

/// Error (input): series.yaml is broken.
Status run_series(const std::vector<SeriesRow>& rows, std::vector<SeriesResult>& series,
                  std::vector<SubsetResult>& subsets);
/// Same with the definitions of another file.
Status run_series(const std::string& path, const std::vector<SeriesRow>& rows,
                  std::vector<SeriesResult>& series, std::vector<SubsetResult>& subsets);

std::vector<FactorTrend> factor_trends(const std::vector<SeriesRow>& rows);

}  // namespace meshplan
