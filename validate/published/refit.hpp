// SPDX-License-Identifier: Apache-2.0
// Which values of the global constants fit published runs best, and how good are they on a source
// that was left out of the fit?
//
// A pattern search on a grid over the constants' bounds: from the present values, one constant is
// moved by one step at a time, and steps are halved when no move helps. Predictions on a grid point
// do not depend on which source is left out, so every point is priced once for all fits.
#pragma once
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "costmodel/step/constants.hpp"
#include "validate/published/report.hpp"

namespace meshplan {

struct FitConstant {
  std::string name;
  double lower = 0, upper = 1, value = 0;
  double neutral = std::numeric_limits<double>::quiet_NaN();  ///< see kPull; NaN: free
};

/// Each constant is drawn to the value that changes nothing: mean error that a distance of its
/// whole range counts for. So one of which the runs hardly tell stays where it was measured. Chosen
/// by the errors of sources left out: 8.59 % without, 8.03 at half, 7.75 here, 7.96 at twice this.
constexpr double kPull = 0.01;

/// Losses of one family at one point: errors of its step times and of its memory peaks.
struct FamilyLoss {
  std::string family;
  double step = 0;    ///< NaN with fewer than three rows
  double memory = 0;  ///< NaN with fewer than three peaks
  double weight = 1;  ///< in the means over families
};
/// Prices all rows with these values, in the order of the constants.
using FitModel = std::function<Result<std::vector<FamilyLoss>>(const std::vector<double>&)>;

struct LeftOut {
  std::string family;
  double step_fitted = 0;    ///< its mean error with all families in the fit
  double step_left_out = 0;  ///< with it left out; NaN where it alone tells of a constant
  double weight = 1;
  std::vector<std::string> untold;  ///< constants on which no other family's loss depends
};

struct RefitReport {
  std::vector<FitConstant> constants;  ///< value: fitted
  std::vector<double> before;
  double step_before = 0, step_after = 0;      ///< mean over families
  double memory_before = 0, memory_after = 0;  ///< same
  double step_left_out = 0;  ///< mean over families, each left out once, that others tell of
  std::vector<LeftOut> families;
  int priced = 0;  ///< grid points
};

struct RefitOptions {
  int steps = 64;  ///< grid points per constant; a power of two
  bool leave_one_out = true;
  std::function<void(const std::string&)> progress;  ///< one line now and then; may be empty
};

/// Loss of a fit: mean over families of step errors plus mean over families of memory errors, plus
/// kPull times the squares of the constants' distances.
Result<RefitReport> refit(std::vector<FitConstant> constants, const FitModel& model,
                          const RefitOptions& options = {});

/// The constants that belong to these rows of the table, the others as `present` has them. Memory
/// peaks count with the gold rows.
Result<RefitReport> refit_published(const std::string& path, const Constants& present, FitRows rows,
                                    const RefitOptions& options = {});

/// `present` with the values of a report, and constants as the text of constants.yaml.
Constants constants_of(const RefitReport& report, Constants present);
std::string constants_yaml(const Constants& constants);
/// `what`: families are, "sources".
std::string refit_text(const RefitReport& report, const std::string& what = "sources");

}  // namespace meshplan
