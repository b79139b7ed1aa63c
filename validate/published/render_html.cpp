// SPDX-License-Identifier: Apache-2.0
// One page without outside parts: predicted against measured step time and memory as charts, and
// the tables of the text report.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "validate/page/page.hpp"
#include "validate/published/report.hpp"

namespace meshplan {
namespace {

std::string percent(double value, bool sign = false) {
  if (std::isnan(value)) return "";
  return sign ? fmt::format("{:+.1f} %", 100 * value) : fmt::format("{:.1f} %", 100 * value);
}

using Pick = std::optional<double> ScoredRow::*;

/// Predicted over measured, both axes logarithmic; the sources with most rows have series of their
/// own.
std::string scatter(const PublishedReport& report, Pick measured, Pick predicted, double unit,
                    const std::string& what, const std::string& unit_name) {
  constexpr size_t kSources = 7;
  std::vector<std::pair<int, std::string>> by_rows;
  for (const FamilyScore& f : report.score.families)
    by_rows.emplace_back(-(f.gold.rows + f.silver.rows), f.family);
  std::sort(by_rows.begin(), by_rows.end());
  std::map<std::string, size_t> series_of;
  page::Chart chart{what + ", predicted against measured",
                    "Each dot is a run; on the dashed line they agree.",
                    "measured, " + unit_name,
                    "predicted, " + unit_name,
                    true,
                    true};
  for (size_t i = 0; i < by_rows.size(); ++i) {
    series_of[by_rows[i].second] = std::min(i, kSources);
    if (i <= kSources)
      chart.series.push_back({i < kSources ? by_rows[i].second : "other sources", {}, false});
  }
  double low = 1e99, high = 0;
  for (const ScoredRow& row : report.rows) {
    if (!row.ran || !(row.*measured) || !(row.*predicted)) continue;
    const double m = *(row.*measured) / unit, p = *(row.*predicted) / unit;
    low = std::min({low, m, p});
    high = std::max({high, m, p});
    chart.series[series_of.at(row.family)].points.push_back(
        {m, p, p, p, fmt::format("{} ({:+.1f} %)", row.id, 100 * (p / m - 1))});
  }
  if (high == 0) return "<p>No row has both.</p>";
  chart.series.push_back(
      {"equal", {{low, low, low, low, ""}, {high, high, high, high, ""}}, true, true});
  chart.table.header = {"source", "rows"};
  for (const page::Series& one : chart.series)
    if (!one.line) chart.table.rows.push_back({one.name, fmt::format("{}", one.points.size())});
  return to_html(chart);
}

std::string row(const std::vector<std::string>& cells, const char* tag = "td") {
  std::string out = "<tr>";
  for (const auto& cell : cells) out += fmt::format("<{0}>{1}</{0}>", tag, page::escaped(cell));
  return out + "</tr>\n";
}

std::string headline(const Score& s) {
  std::string out = "<table>" + row({"score", "value", "over"}, "th");
  out += row({"step time, mean over sources (gold)", percent(s.step_mean_over_sources),
              fmt::format("{} rows", s.gold_rows)});
  out += row({"median", percent(s.step_median), ""});
  out += row({"signed mean", percent(s.step_signed_mean, true), ""});
  out += row({"step time, mean over sources (silver)", percent(s.silver_mean_over_sources),
              fmt::format("{} rows", s.silver_rows)});
  out += row({"order, Kendall's tau", s.groups > 0 ? fmt::format("{:.3f}", s.order_tau) : "",
              fmt::format("{} groups", s.groups)});
  out += row({"order, regret", percent(s.order_regret), ""});
  const auto shares = [&](const char* what, double of_rows, int rows, double over_sources) {
    out += row({what, percent(of_rows),
                fmt::format("{} rows; mean over sources {}", rows, percent(over_sources))});
  };
  shares("peak memory, mean error", s.memory_mean, s.memory_rows, s.memory_mean_over_sources);
  shares("runs that ran, called feasible", s.ran_called_feasible_rows, s.ran_rows,
         s.ran_called_feasible);
  shares("out of memory, called infeasible", s.oom_called_infeasible_rows, s.oom_rows,
         s.oom_called_infeasible);
  out += row({"refused", fmt::format("{}", s.refused),
              fmt::format("{} state too little", s.states_too_little)});
  return out + "</table>\n";
}

std::string breakdown(const Breakdown& table) {
  std::string out = fmt::format("<h3>By {}</h3>\n<table>", page::escaped(table.title));
  out +=
      row({table.title, "gold rows", "mean", "median", "signed", "silver rows", "mean", "signed"},
          "th");
  for (const auto& line : table.lines)
    out += row({line.label, fmt::format("{}", line.gold.rows), percent(line.gold.mean),
                percent(line.gold.median), percent(line.gold.signed_mean, true),
                fmt::format("{}", line.silver.rows), percent(line.silver.mean),
                percent(line.silver.signed_mean, true)});
  return out + "</table>\n";
}

std::string trends(const PublishedReport& report) {
  std::string out =
      "<table>" +
      row({"", "series", "factor", "rows", "measured", "predicted", "sign", "worst"}, "th");
  for (const SeriesResult& s : report.series) {
    const bool defined = s.points.size() >= 2;
    out += row({s.group, s.what, s.factor, fmt::format("{}", s.points.size()),
                defined ? percent(s.measured_change, true) : "",
                defined ? percent(s.predicted_change, true) : "",
                !defined      ? ""
                : s.same_sign ? "ok"
                              : "no",
                defined ? percent(s.worst) : ""});
  }
  out += "</table>\n<table>" + row({"subset", "rows", "error", "limit", ""}, "th");
  for (const SubsetResult& s : report.subsets)
    out += row({s.name, fmt::format("{}", s.rows), percent(s.value), percent(s.limit),
                s.ok ? "ok" : "above"});
  return out + "</table>\n";
}

/// Measured and predicted curves of the series over the number of GPUs.
std::string series_charts(const PublishedReport& report) {
  std::string out = "<h2>Scaling series</h2>\n<div class=\"grid\">\n";
  for (const SeriesResult& s : report.series) {
    if (s.factor.rfind("GPUs", 0) != 0 || s.points.size() < 2) continue;
    const std::string unit = s.measure == "tokens" ? "tokens/s per GPU" : "seconds";
    page::Chart chart{s.what, s.factor + ", published against predicted.", "GPUs", unit, true};
    page::Series measured{"measured", {}, true, false}, predicted{"predicted", {}, true, true};
    chart.table.header = {"GPUs", "measured", "predicted", "error"};
    for (const SeriesPoint& p : s.points) {
      const double gpus = std::strtod(p.label.c_str(), nullptr);
      measured.points.push_back({gpus, p.measured, p.measured, p.measured, p.id});
      predicted.points.push_back({gpus, p.predicted, p.predicted, p.predicted, p.id});
      chart.table.rows.push_back({p.label, fmt::format("{:.4g}", p.measured),
                                  fmt::format("{:.4g}", p.predicted),
                                  percent(p.predicted / p.measured - 1, true)});
    }
    chart.series = {std::move(measured), std::move(predicted)};
    out += to_html(chart);
  }
  return out + "</div>\n";
}

std::string all_rows(const PublishedReport& report) {
  std::string out =
      "<details><summary>All rows</summary><div class=\"wide\"><table>" +
      row({"id", "tier", "plan", "measured, s", "predicted, s", "error", "fits", "refused"}, "th");
  for (size_t i = 0; i < report.cases.size(); ++i) {
    const PublishedCase& c = report.cases[i];
    const ScoredRow& r = report.rows[i];
    const auto seconds = [](const std::optional<double>& value) {
      return value ? fmt::format("{:.4g}", *value) : std::string();
    };
    const auto error = r.scored_time() ? r.signed_error() : std::nullopt;
    out += row({c.question.id, c.question.tier,
                c.prediction ? to_text(c.prediction->estimate.plan) : "",
                r.ran ? seconds(r.measured_step_s) : "oom", seconds(r.predicted_step_s),
                error ? percent(*error, true) : "", r.fits ? (*r.fits ? "yes" : "no") : "",
                c.prediction ? "" : c.refusal.message});
  }
  return out + "</table></div></details>\n";
}

}  // namespace

std::string published_html(const PublishedReport& report) {
  std::string out =
      fmt::format("<p>{}: {} rows.</p>\n", page::escaped(report.table), report.cases.size());
  out += headline(report.score);
  out += "<h2>All runs</h2>\n<div class=\"grid\">\n";
  out += scatter(report, &ScoredRow::measured_step_s, &ScoredRow::predicted_step_s, 1, "Step time",
                 "seconds");
  out += scatter(report, &ScoredRow::measured_bytes, &ScoredRow::predicted_bytes, 1e9,
                 "Peak memory", "1e9 bytes");
  out += "</div>\n" + series_charts(report);
  out += "\n<h2>Step time by property</h2>\n";
  for (const Breakdown& table : report.breakdowns) out += breakdown(table);
  out += "<h2>Trends</h2>\n" + trends(report);
  out += "<h2>Rows</h2>\n" + all_rows(report);
  return page::document("Predicted against measured", out);
}

}  // namespace meshplan
