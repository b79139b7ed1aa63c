// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>

#include "validate/published/report.hpp"

namespace meshplan {
namespace {

std::string percent(double value, int digits = 1) {
  return std::isnan(value) ? "-" : fmt::format("{:.{}f} %", 100 * value, digits);
}
std::string signed_percent(double value) {
  return std::isnan(value) ? "-" : fmt::format("{:+.1f} %", 100 * value);
}
std::string cut(const std::string& text, size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

std::string headline(const PublishedReport& report) {
  const Score& s = report.score;
  std::string out = fmt::format("{}: {} rows\n\n", report.table, report.cases.size());
  const auto line = [&](const char* what, const std::string& value, const std::string& over) {
    out += fmt::format("{:<46}{:>9}   {}\n", what, value, over);
  };
  line("step time, mean over sources (gold)", percent(s.step_mean_over_sources),
       fmt::format("{} rows", s.gold_rows));
  line("  median", percent(s.step_median), "");
  line("  signed mean", signed_percent(s.step_signed_mean), "predicted over measured");
  line("step time, mean over sources (silver)", percent(s.silver_mean_over_sources),
       fmt::format("{} rows", s.silver_rows));
  line("  median", percent(s.silver_median), "");
  line("  signed mean", signed_percent(s.silver_signed_mean), "");
  line("order, Kendall's tau", s.groups > 0 ? fmt::format("{:.3f}", s.order_tau) : "-",
       fmt::format("{} groups of plans", s.groups));
  line("order, regret", percent(s.order_regret), "");
  line("peak memory, mean error", percent(s.memory_mean),
       fmt::format("{} rows; mean over sources {}", s.memory_rows,
                   percent(s.memory_mean_over_sources)));
  line("runs that ran, called feasible", percent(s.ran_called_feasible_rows),
       fmt::format("{} rows; mean over sources {}", s.ran_rows, percent(s.ran_called_feasible)));
  line("runs out of memory, called infeasible", percent(s.oom_called_infeasible_rows),
       fmt::format("{} rows; mean over sources {}", s.oom_rows, percent(s.oom_called_infeasible)));
  line("rows refused", fmt::format("{}", s.refused),
       fmt::format("{} of them state too little", s.states_too_little));
  bool impossible = false;
  for (const PublishedCase& one : report.cases) {
    const auto share = measured_share_of_peak(one);
    if (share.value_or(0) <= 1) continue;
    impossible = true;
    line("measured faster than the GPU's peak", percent(*share, 0),
         one.question.id + ", counted above as it stands");
  }
  if (impossible)
    line("  without: gold", percent(report.within_peak.step_mean_over_sources),
         fmt::format("silver {}", percent(report.within_peak.silver_mean_over_sources)));
  return out;
}

std::string tables(const PublishedReport& report) {
  std::string out;
  for (const Breakdown& table : report.breakdowns) {
    out += fmt::format("\n{:<50}{:>6}{:>9}{:>9}{:>9}{:>8}{:>9}{:>9}\n", "by " + table.title, "gold",
                       "mean", "median", "signed", "silver", "mean", "signed");
    for (const auto& line : table.lines) {
      out += fmt::format("  {:<48}{:>6}{:>9}{:>9}{:>9}{:>8}{:>9}{:>9}\n", cut(line.label, 48),
                         line.gold.rows, percent(line.gold.mean), percent(line.gold.median),
                         signed_percent(line.gold.signed_mean), line.silver.rows,
                         percent(line.silver.mean), signed_percent(line.silver.signed_mean));
    }
  }
  return out;
}

std::string memory_table(const PublishedReport& report) {
  std::string out = fmt::format("\n{:<50}{:>6}{:>9}{:>12}{:>14}\n", "memory by source", "peaks",
                                "mean", "ran, fits", "oom, doesn't");
  for (const FamilyScore& f : report.score.families) {
    if (f.memory_rows + f.ran + f.oom == 0) continue;
    out += fmt::format("  {:<48}{:>6}{:>9}{:>12}{:>14}\n", cut(f.family, 48), f.memory_rows,
                       percent(f.memory_mean), fmt::format("{}/{}", f.ran_feasible, f.ran),
                       f.oom > 0 ? fmt::format("{}/{}", f.oom_infeasible, f.oom) : "-");
  }
  return out;
}

std::string trend_tables(const PublishedReport& report) {
  std::string out;
  if (!report.series.empty())
    out += fmt::format("\n{:<3}{:<48}{:<28}{:>5}{:>11}{:>11}{:>6}{:>9}\n", "", "series", "factor",
                       "rows", "measured", "predicted", "sign", "worst");
  for (const SeriesResult& s : report.series) {
    const bool defined = s.points.size() >= 2;
    out += fmt::format("{:<3}{:<48}{:<28}{:>5}{:>11}{:>11}{:>6}{:>9}\n", s.group, cut(s.what, 47),
                       cut(s.factor + (s.measure == "memory" ? " (memory)" : ""), 27),
                       s.points.size(), defined ? signed_percent(s.measured_change) : "-",
                       defined ? signed_percent(s.predicted_change) : "-",
                       !defined      ? "-"
                       : s.same_sign ? "ok"
                                     : "no",
                       defined ? percent(s.worst) : "-");
  }
  if (!report.trends.empty())
    out += fmt::format("\n{:<50}{:>7}{:>12}{:>14}\n", "pairs that differ in one column", "pairs",
                       "same sign", "median miss");
  for (const FactorTrend& t : report.trends)
    out += fmt::format("  {:<48}{:>7}{:>12}{:>14}\n", t.factor, t.pairs,
                       percent(t.pairs > 0 ? double(t.same_sign) / t.pairs : NAN),
                       percent(std::expm1(t.median_miss)));
  if (!report.subsets.empty())
    out += fmt::format("\n{:<50}{:>6}{:>10}{:>9}{:>9}{:>9}\n", "subset", "rows", "statistic",
                       "error", "limit", "signed");
  for (const SubsetResult& s : report.subsets)
    out += fmt::format("  {:<48}{:>6}{:>10}{:>9}{:>9}{:>9}  {}\n", cut(s.name, 48), s.rows,
                       s.statistic, percent(s.value), percent(s.limit),
                       signed_percent(s.signed_mean), s.ok ? "ok" : "above the limit");
  return out;
}

std::string refusals(const PublishedReport& report) {
  std::string out;
  for (const PublishedCase& c : report.cases) {
    if (c.prediction) continue;
    if (out.empty()) out = "\nrefused\n";
    out += fmt::format("  {:<40} {}{}{}\n", cut(c.question.id, 40), c.refusal.message,
                       c.refusal.where.empty() ? "" : " (" + c.refusal.where + ")",
                       c.refusal.value.empty() ? "" : ": " + c.refusal.value);
  }
  return out;
}

}  // namespace

std::string published_text(const PublishedReport& report) {
  return headline(report) + tables(report) + memory_table(report) + trend_tables(report) +
         (report.bands ? "\n" + bands_text("step times", *report.bands) : "") +
         (report.memory_bands ? "\n" + bands_text("memory peaks", *report.memory_bands) : "") +
         refusals(report);
}

}  // namespace meshplan
