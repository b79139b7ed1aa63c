// SPDX-License-Identifier: Apache-2.0
// How good are the predictions, by the scores that the table's README.md defines?
//
//   step time  |predicted - measured| / measured; the mean over families (sources that count as
//              one) of each family's mean, families with three rows or more; a refused row counts
//              as 100 %
//   order      in groups of rows that differ only in the plan: Kendall's tau-b, and the regret:
//              measured time of the plan predicted best over the best measured, minus one
//   memory     error of the peak of rows that have one; share of runs that ran and are called
//              feasible, share of out-of-memory rows called infeasible; each over all rows and as a
//              mean over families with three rows or more
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace meshplan {

/// What scoring needs of one row.
struct ScoredRow {
  std::string id, family, tier;
  std::string group, plan_key;  ///< see Case
  bool ran = true;
  bool refused = false;
  bool states_too_little = false;  ///< refused for lack of statements: no part of memory's shares
  std::optional<double> measured_step_s, predicted_step_s;
  std::optional<double> measured_bytes, predicted_bytes;
  std::optional<bool> fits;  ///< as predicted

  bool scored_time() const { return ran && measured_step_s.has_value(); }
  bool scored_memory() const { return ran && measured_bytes.has_value(); }
  /// |predicted - measured| / measured; 1 if refused. Only for scored_time().
  double step_error() const;
  /// With sign; nothing if refused.
  std::optional<double> signed_error() const;
};

/// Errors of a set of rows; NaN where there is no row.
struct ErrorSummary {
  int rows = 0;
  double mean = 0, median = 0, signed_mean = 0;
};
ErrorSummary summarise(const std::vector<const ScoredRow*>& rows);

struct FamilyScore {
  std::string family;
  ErrorSummary gold, silver;
  int memory_rows = 0;
  double memory_mean = 0;  ///< NaN without rows
  int ran = 0, ran_feasible = 0, oom = 0, oom_infeasible = 0, refused = 0;
};

struct Score {
  double step_mean_over_sources = 0, step_median = 0, step_signed_mean = 0;
  double silver_mean_over_sources = 0, silver_median = 0, silver_signed_mean = 0;
  double order_tau = 0, order_regret = 0;
  double memory_mean = 0;
  double memory_mean_over_sources = 0;
  double ran_called_feasible = 0, oom_called_infeasible = 0;            ///< means over sources
  double ran_called_feasible_rows = 0, oom_called_infeasible_rows = 0;  ///< shares of all rows
  int ran_rows = 0, oom_rows = 0;
  int gold_rows = 0, silver_rows = 0, groups = 0, memory_rows = 0, refused = 0,
      states_too_little = 0;
  std::vector<FamilyScore> families;  ///< by name
};

/// Families with fewer rows have no part in means over families.
constexpr int kRowsPerFamily = 3;

/// NaN for every figure that no row bears on.
Score score(const std::vector<ScoredRow>& rows);

/// Kendall's tau-b of two lists of equal length; 0 when one of them has only ties.
double kendall_tau(const std::vector<double>& a, const std::vector<double>& b);

/// Order within one group. Rows with the same plan are one plan measured more than once: its
/// fastest measurement counts, since what slowed the others down (an older kernel or release) is
/// no part of the plan. Nothing with fewer than two plans. Equal best predictions share the regret.
struct GroupOrder {
  double tau = 0, regret = 0;
  int plans = 0;
};
std::optional<GroupOrder> order_of(const std::vector<const ScoredRow*>& group);

/// Rows of `tiers` that have a measured step, split by `key`, sorted by key.
std::vector<std::pair<std::string, std::vector<const ScoredRow*>>> rows_by(
    const std::vector<ScoredRow>& rows, const std::string& tier,
    const std::function<std::string(const ScoredRow&)>& key);

}  // namespace meshplan
