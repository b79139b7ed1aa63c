// SPDX-License-Identifier: Apache-2.0
// One page without outside parts: a log-log scatter of predicted against measured step time as
// inline SVG, coloured by source, and the tables of the text report.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "validate/published/report.hpp"

namespace meshplan {
namespace {

// Colours that stay apart for colour-blind readers (Okabe and Ito 2008); sources beyond them are
// grey.
const std::vector<const char*> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                           "#e69f00", "#56b4e9", "#000000"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string percent(double value, bool sign = false) {
  if (std::isnan(value)) return "";
  return sign ? fmt::format("{:+.1f} %", 100 * value) : fmt::format("{:.1f} %", 100 * value);
}

/// Log-log square of a quantity.
class Scatter {
 public:
  Scatter(double low, double high)
      : low_(std::floor(std::log10(low))), high_(std::ceil(std::log10(high))) {
    if (high_ <= low_) high_ = low_ + 1;
  }

  std::string frame(const std::string& unit) const {
    std::string out = fmt::format(
        "<svg viewBox=\"0 0 {0} {0}\" role=\"img\" aria-label=\"predicted against measured, {1}\">"
        "<rect x=\"{2}\" y=\"{3}\" width=\"{4}\" height=\"{4}\" class=\"frame\"/>",
        kSize, unit, kLeft, kTop, kSide);
    for (double decade = low_; decade <= high_; ++decade) {
      const double value = std::pow(10.0, decade), x = across(value), y = down(value);
      out += fmt::format(
          "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\" class=\"grid\"/>"
          "<line x1=\"{3}\" x2=\"{4}\" y1=\"{5:.1f}\" y2=\"{5:.1f}\" class=\"grid\"/>"
          "<text x=\"{0:.1f}\" y=\"{6}\" class=\"x\">{7:g}</text>"
          "<text x=\"{8}\" y=\"{9:.1f}\" class=\"y\">{7:g}</text>",
          x, kTop, kTop + kSide, kLeft, kLeft + kSide, y, kTop + kSide + 16, value, kLeft - 6,
          y + 4);
    }
    // Equality, and ten percent to either side.
    for (const double ratio : {0.9, 1.0, 1.1}) {
      const double a = std::pow(10.0, low_), b = std::pow(10.0, high_);
      out += fmt::format(
          "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" "
          "class=\"{}\"/>",
          across(a), down(a * ratio), across(b), down(b * ratio), ratio == 1.0 ? "equal" : "tenth");
    }
    out += fmt::format(
        "<text x=\"{}\" y=\"{}\" class=\"x\">measured, {}</text>"
        "<text transform=\"translate(14,{}) rotate(-90)\" class=\"x\">predicted, "
        "{}</text>",
        kLeft + kSide / 2, kSize - 4, unit, kTop + kSide / 2, unit);
    return out;
  }
  std::string dot(double measured, double predicted, const char* colour,
                  const std::string& title) const {
    return fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" fill=\"{}\"><title>{}</title>"
        "</circle>",
        across(measured), down(predicted), colour, escaped(title));
  }

 private:
  static constexpr int kSize = 560, kLeft = 62, kTop = 10, kSide = 480;
  double share(double value) const {
    return std::clamp((std::log10(value) - low_) / (high_ - low_), 0.0, 1.0);
  }
  double across(double value) const { return kLeft + kSide * share(value); }
  double down(double value) const { return kTop + kSide * (1 - share(value)); }
  double low_, high_;
};

std::map<std::string, const char*> colours_of(const PublishedReport& report) {
  std::vector<std::pair<int, std::string>> by_rows;
  for (const FamilyScore& f : report.score.families)
    by_rows.emplace_back(-(f.gold.rows + f.silver.rows), f.family);
  std::sort(by_rows.begin(), by_rows.end());
  std::map<std::string, const char*> out;
  for (size_t i = 0; i < by_rows.size(); ++i)
    out[by_rows[i].second] = i < kColours.size() ? kColours[i] : "#999999";
  return out;
}

using Pick = std::optional<double> ScoredRow::*;

std::string scatter(const PublishedReport& report, Pick measured, Pick predicted, double unit,
                    const std::string& unit_name) {
  double low = 1e99, high = 0;
  for (const ScoredRow& row : report.rows) {
    if (!row.ran || !(row.*measured) || !(row.*predicted)) continue;
    for (const double value : {*(row.*measured) / unit, *(row.*predicted) / unit}) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (high == 0) return "<p>No row has both.</p>";
  const auto colours = colours_of(report);
  const Scatter plot(low, high);
  std::string out = plot.frame(unit_name);
  for (const ScoredRow& row : report.rows) {
    if (!row.ran || !(row.*measured) || !(row.*predicted)) continue;
    const double m = *(row.*measured) / unit, p = *(row.*predicted) / unit;
    out += plot.dot(m, p, colours.at(row.family),
                    fmt::format("{}: measured {:.4g}, predicted {:.4g} ({:+.1f} %)", row.id, m, p,
                                100 * (p / m - 1)));
  }
  return out + "</svg>";
}

std::string legend(const PublishedReport& report) {
  std::string out = "<p class=\"legend\">";
  bool others = false;
  for (const auto& [family, colour] : colours_of(report)) {
    if (std::string(colour) == "#999999") {
      others = true;
      continue;
    }
    out += fmt::format("<span style=\"color:{}\">&#9679;</span> {} ", colour, escaped(family));
  }
  if (others) out += "<span style=\"color:#999999\">&#9679;</span> other sources";
  return out + "</p>";
}

std::string row(const std::vector<std::string>& cells, const char* tag = "td") {
  std::string out = "<tr>";
  for (const auto& cell : cells) out += fmt::format("<{0}>{1}</{0}>", tag, escaped(cell));
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
  out += row({"order, Kendall's tau", fmt::format("{:.3f}", s.order_tau),
              fmt::format("{} groups", s.groups)});
  out += row({"order, regret", percent(s.order_regret), ""});
  out += row(
      {"peak memory, mean error", percent(s.memory_mean), fmt::format("{} rows", s.memory_rows)});
  out += row({"runs that ran, called feasible", percent(s.ran_called_feasible), "sources"});
  out += row({"out of memory, called infeasible", percent(s.oom_called_infeasible), "sources"});
  out += row({"refused", fmt::format("{}", s.refused),
              fmt::format("{} state too little", s.states_too_little)});
  return out + "</table>\n";
}

std::string breakdown(const Breakdown& table) {
  std::string out = fmt::format("<h3>By {}</h3>\n<table>", escaped(table.title));
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

std::string all_rows(const PublishedReport& report) {
  std::string out =
      "<details><summary>All rows</summary><table>" +
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
  return out + "</table></details>\n";
}

constexpr const char* kStyle =
    "body{font:14px/1.4 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:.6em 0}th,td{padding:.15em .7em;text-align:right;"
    "border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}"
    "svg{width:560px;max-width:100%}.frame{fill:none;stroke:#888}.grid{stroke:#eee}"
    ".equal{stroke:#444}.tenth{stroke:#aaa;stroke-dasharray:4 3}text{font-size:12px;fill:#333}"
    ".x{text-anchor:middle}.y{text-anchor:end}circle{fill-opacity:.65}";

}  // namespace

std::string published_html(const PublishedReport& report) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<title>Predicted against measured</title><style>{}</style></head><body>\n"
      "<h1>Predicted against measured</h1>\n<p>{}: {} rows. Dashed lines: ten percent.</p>\n",
      kStyle, escaped(report.table), report.cases.size());
  out += headline(report.score);
  out += "<h2>Step time</h2>\n" + legend(report);
  out += scatter(report, &ScoredRow::measured_step_s, &ScoredRow::predicted_step_s, 1, "seconds");
  out += "\n<h2>Peak memory</h2>\n";
  out += scatter(report, &ScoredRow::measured_bytes, &ScoredRow::predicted_bytes, 1e9, "1e9 bytes");
  out += "\n<h2>Step time by property</h2>\n";
  for (const Breakdown& table : report.breakdowns) out += breakdown(table);
  out += "<h2>Trends</h2>\n" + trends(report);
  out += "<h2>Rows</h2>\n" + all_rows(report);
  return out + "</body></html>\n";
}

}  // namespace meshplan
