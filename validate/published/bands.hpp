// SPDX-License-Identifier: Apache-2.0
// Which error bands follow from published runs, and do they hold for sources that they have not
// seen?
//
// Of step times and of memory peaks, in the same way. Bands are quantiles of ln(measured /
// predicted), 10 % and 90 %, by class. A class with few rows is drawn towards the next wider one
// (weight rows / (rows + kShrinkage)); a source with many rows counts as the square root of their
// number, since its rows repeat one setting. Bands learnt from some sources are too narrow for
// others, so all are widened about their middle by one factor, chosen such that 80 % of the rows
// are covered by the bands that were learnt without their source.
#pragma once
#include <string>
#include <vector>

#include "costmodel/step/bands.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

struct BandRow {
  std::string family;
  BandClass of;
  double log_ratio = 0;  ///< ln(measured / predicted)
};

constexpr double kBandCoverage = 0.8;
constexpr double kShrinkage = 15;  ///< rows; assumed: a class of so many rows is half trusted

struct BandFit {
  ErrorBands bands;
  struct Line {
    std::string family;
    int rows = 0;
    double covered = 0;  ///< share, by bands learnt without it
  };
  std::vector<Line> left_out;
  double mean_half_width = 0;  ///< of the bands that the rows get, in log ratio
};

/// Bands of these rows without widening.
ErrorBands learn_bands(const std::vector<BandRow>& rows);

/// Error (check): fewer than two families.
Result<BandFit> fit_bands(const std::vector<BandRow>& rows);

std::string bands_text(const std::string& quantity, const BandFit& fit);

}  // namespace meshplan
