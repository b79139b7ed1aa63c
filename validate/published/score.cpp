// SPDX-License-Identifier: Apache-2.0
#include "validate/published/score.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace meshplan {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double mean_of(const std::vector<double>& values) {
  if (values.empty()) return kNone;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double median_of(std::vector<double> values) {
  if (values.empty()) return kNone;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

using Families = std::map<std::string, std::vector<const ScoredRow*>>;

ErrorSummary of_tier(const std::vector<const ScoredRow*>& rows, const std::string& tier) {
  std::vector<const ScoredRow*> kept;
  for (const ScoredRow* row : rows) {
    if (row->tier == tier && row->scored_time()) kept.push_back(row);
  }
  return summarise(kept);
}

FamilyScore score_family(const std::string& name, const std::vector<const ScoredRow*>& rows) {
  FamilyScore out;
  out.family = name;
  out.gold = of_tier(rows, "gold");
  out.silver = of_tier(rows, "silver");
  std::vector<double> memory;
  for (const ScoredRow* row : rows) {
    if (row->measured_bytes && row->predicted_bytes)
      memory.push_back(std::abs(*row->predicted_bytes / *row->measured_bytes - 1));
    if (row->refused) ++out.refused;
    if (row->states_too_little) continue;
    const bool fits = row->fits.value_or(false);
    // A refused row is wrong either way: neither feasible nor shown to be infeasible.
    if (row->ran) {
      ++out.ran;
      out.ran_feasible += fits ? 1 : 0;
    } else {
      ++out.oom;
      out.oom_infeasible += row->fits && !fits ? 1 : 0;
    }
  }
  out.memory_rows = static_cast<int>(memory.size());
  out.memory_mean = mean_of(memory);
  return out;
}

/// Mean over the families for which `count` reaches the least number of rows.
template <class Count, class Value>
double over_families(const std::vector<FamilyScore>& families, Count count, Value value) {
  std::vector<double> values;
  for (const FamilyScore& family : families) {
    if (count(family) >= kRowsPerFamily) values.push_back(value(family));
  }
  return mean_of(values);
}

void score_order(const std::vector<ScoredRow>& rows, Score& out) {
  std::map<std::string, std::vector<const ScoredRow*>> groups;
  for (const ScoredRow& row : rows) {
    if (row.tier != "bronze" && row.scored_time() && !row.refused && !row.group.empty())
      groups[row.group].push_back(&row);
  }
  std::vector<double> taus, regrets;
  for (const auto& [key, members] : groups) {
    if (const auto order = order_of(members)) {
      taus.push_back(order->tau);
      regrets.push_back(order->regret);
    }
  }
  out.groups = static_cast<int>(taus.size());
  out.order_tau = mean_of(taus);
  out.order_regret = mean_of(regrets);
}

}  // namespace

double ScoredRow::step_error() const {
  const auto error = signed_error();
  return error ? std::abs(*error) : 1.0;
}

std::optional<double> ScoredRow::signed_error() const {
  if (refused || !predicted_step_s) return std::nullopt;
  return *predicted_step_s / *measured_step_s - 1;
}

ErrorSummary summarise(const std::vector<const ScoredRow*>& rows) {
  std::vector<double> errors, signs;
  for (const ScoredRow* row : rows) {
    errors.push_back(row->step_error());
    if (const auto error = row->signed_error()) signs.push_back(*error);
  }
  return {static_cast<int>(rows.size()), mean_of(errors), median_of(errors), mean_of(signs)};
}

double kendall_tau(const std::vector<double>& a, const std::vector<double>& b) {
  const auto sign = [](double x) { return (x > 0) - (x < 0); };
  double both = 0, in_a = 0, in_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const int da = sign(a[i] - a[j]), db = sign(b[i] - b[j]);
      both += da * db;
      in_a += da != 0 ? 1 : 0;
      in_b += db != 0 ? 1 : 0;
    }
  }
  return in_a > 0 && in_b > 0 ? both / std::sqrt(in_a * in_b) : 0;
}

std::optional<GroupOrder> order_of(const std::vector<const ScoredRow*>& group) {
  std::map<std::string, std::pair<double, double>> plans;  // measured, predicted
  for (const ScoredRow* row : group) {
    if (!row->predicted_step_s || !row->measured_step_s) continue;
    const auto [found, fresh] =
        plans.try_emplace(row->plan_key, *row->measured_step_s, *row->predicted_step_s);
    if (!fresh && *row->measured_step_s < found->second.first)
      found->second = {*row->measured_step_s, *row->predicted_step_s};
  }
  if (plans.size() < 2) return std::nullopt;
  std::vector<double> measured, predicted;
  for (const auto& [key, times] : plans) {
    measured.push_back(times.first);
    predicted.push_back(times.second);
  }
  const double best_measured = *std::min_element(measured.begin(), measured.end());
  const double best_predicted = *std::min_element(predicted.begin(), predicted.end());
  std::vector<double> picked;
  for (size_t i = 0; i < predicted.size(); ++i) {
    if (predicted[i] == best_predicted) picked.push_back(measured[i]);
  }
  return GroupOrder{kendall_tau(measured, predicted), mean_of(picked) / best_measured - 1,
                    static_cast<int>(plans.size())};
}

std::vector<std::pair<std::string, std::vector<const ScoredRow*>>> rows_by(
    const std::vector<ScoredRow>& rows, const std::string& tier,
    const std::function<std::string(const ScoredRow&)>& key) {
  std::map<std::string, std::vector<const ScoredRow*>> split;
  for (const ScoredRow& row : rows) {
    if (row.tier == tier && row.scored_time()) split[key(row)].push_back(&row);
  }
  return {split.begin(), split.end()};
}

Score score(const std::vector<ScoredRow>& rows) {
  Score out;
  Families families;
  std::vector<const ScoredRow*> gold, silver;
  std::vector<double> memory;
  for (const ScoredRow& row : rows) {
    families[row.family].push_back(&row);
    if (row.tier == "gold" && row.scored_time()) gold.push_back(&row);
    if (row.tier == "silver" && row.scored_time()) silver.push_back(&row);
    if (row.measured_bytes && row.predicted_bytes)
      memory.push_back(std::abs(*row.predicted_bytes / *row.measured_bytes - 1));
    out.refused += row.refused ? 1 : 0;
    out.states_too_little += row.states_too_little ? 1 : 0;
  }
  for (const auto& [name, members] : families) out.families.push_back(score_family(name, members));

  const ErrorSummary all_gold = summarise(gold), all_silver = summarise(silver);
  out.gold_rows = all_gold.rows;
  out.step_median = all_gold.median;
  out.step_signed_mean = all_gold.signed_mean;
  out.silver_rows = all_silver.rows;
  out.silver_median = all_silver.median;
  out.silver_signed_mean = all_silver.signed_mean;
  out.memory_rows = static_cast<int>(memory.size());
  out.memory_mean = mean_of(memory);
  const auto& all = out.families;
  out.step_mean_over_sources = over_families(
      all, [](const auto& f) { return f.gold.rows; }, [](const auto& f) { return f.gold.mean; });
  out.silver_mean_over_sources = over_families(
      all, [](const auto& f) { return f.silver.rows; },
      [](const auto& f) { return f.silver.mean; });
  out.ran_called_feasible = over_families(
      all, [](const auto& f) { return f.ran; },
      [](const auto& f) { return double(f.ran_feasible) / f.ran; });
  out.oom_called_infeasible = over_families(
      all, [](const auto& f) { return f.oom; },
      [](const auto& f) { return double(f.oom_infeasible) / f.oom; });
  out.memory_mean_over_sources = over_families(
      all, [](const auto& f) { return f.memory_rows; },
      [](const auto& f) { return f.memory_mean; });
  int feasible = 0, infeasible = 0;
  for (const FamilyScore& family : all) {
    out.ran_rows += family.ran;
    out.oom_rows += family.oom;
    feasible += family.ran_feasible;
    infeasible += family.oom_infeasible;
  }
  out.ran_called_feasible_rows = double(feasible) / out.ran_rows;
  out.oom_called_infeasible_rows = double(infeasible) / out.oom_rows;
  score_order(rows, out);
  return out;
}

}  // namespace meshplan
