// SPDX-License-Identifier: Apache-2.0
// The report as one page: what it found, charts with their tables, all points, what was assumed.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "planner/report/estimate.hpp"
#include "planner/report/format.hpp"
#include "planner/scale/render.hpp"
#include "validate/page/page.hpp"

namespace meshplan::report {
namespace {

using page::Chart;
using page::Series;

/// What a chart shows of one plan on so many GPUs: value, and its two ends where it has a band.
struct Value {
  double y = 0, low = 0, high = 0;
};
using Pick = std::function<Value(const ScaledPlan&, double gpus)>;

Value plain(double y) { return {y, y, y}; }

double exposed_s(const ScaledPlan& plan, bool hidden = false) {
  double sum = 0;
  for (const AxisTime& axis : plan.communication) sum += hidden ? axis.hidden_s : axis.exposed_s;
  return sum;
}

/// One line a curve; with a single curve also one a baseline.
void fill(Chart& chart, const ScaleReport& report, const Pick& pick, bool with_baselines) {
  chart.x = "GPUs";
  chart.log_x = true;
  const bool single = report.curves.size() == 1;
  for (const ScaleCurve& curve : report.curves) {
    Series best{single ? "best plan" : curve.question.label, {}, true, false};
    std::vector<Series> fixed;
    if (single && with_baselines && !curve.points.front().baselines.empty())
      for (const Baseline& b : baselines()) fixed.push_back({b.name, {}, true, true});
    for (const ScalePoint& p : curve.points) {
      const auto add = [&](Series& series, const std::optional<ScaledPlan>& plan, bool band) {
        if (!plan) return;
        const Value v = pick(*plan, static_cast<double>(p.gpus));
        series.points.push_back({static_cast<double>(p.gpus), v.y, band ? v.low : v.y,
                                 band ? v.high : v.y, brief(plan->step.plan)});
      };
      add(best, p.best, true);
      for (size_t b = 0; b < fixed.size(); ++b) add(fixed[b], p.baselines[b], false);
    }
    chart.series.push_back(std::move(best));
    for (Series& series : fixed)
      if (!series.points.empty()) chart.series.push_back(std::move(series));
  }
}

/// The chart's points as a table: a row for each x, a column for each series.
void tabulate(Chart& chart) {
  chart.table.header = {chart.x};
  std::map<double, std::vector<std::string>> rows;
  for (size_t s = 0; s < chart.series.size(); ++s) {
    chart.table.header.push_back(chart.series[s].name);
    for (const Series::Point& p : chart.series[s].points) {
      auto& row = rows[p.x];
      row.resize(chart.series.size());
      row[s] = count(p.y);
      if (p.high > p.low) row[s] += fmt::format(" ({} to {})", count(p.low), count(p.high));
    }
  }
  for (auto& [x, cells] : rows) {
    cells.insert(cells.begin(), grouped(std::llround(x)));
    chart.table.rows.push_back(std::move(cells));
  }
}

std::string figure(const ScaleReport& report, Chart chart, const Pick& pick,
                   bool with_baselines = true) {
  fill(chart, report, pick, with_baselines);
  tabulate(chart);
  return to_html(chart);
}

/// Exposed and hidden seconds of each axis over the step; of one curve.
std::string communication(const ScaleCurve& curve) {
  Chart chart{"Communication by axis", "Share of the step's time; hidden time runs behind kernels.",
              "GPUs", "percent of the step", true};
  std::map<std::string, Series> lines;
  for (const ScalePoint& p : curve.points) {
    if (!p.best) continue;
    for (const AxisTime& axis : p.best->communication) {
      for (const bool hidden : {false, true}) {
        Series& line = lines[axis.axis + (hidden ? ", hidden" : ", exposed")];
        line.dashed = hidden;
        const double share = 100 * (hidden ? axis.hidden_s : axis.exposed_s) / p.best->step.step_s;
        line.points.push_back({static_cast<double>(p.gpus), share, share, share, ""});
      }
    }
  }
  int color = 0;
  for (auto& [name, line] : lines) {
    line.name = name;
    line.color = color++ / 2;  // exposed and hidden of an axis alike
    chart.series.push_back(std::move(line));
  }
  tabulate(chart);
  return to_html(chart);
}

std::string marginal(const ScaleReport& report) {
  Chart chart{"What the next GPU adds",
              "Tokens/s of a GPU that the point before lacks, over the best average of earlier "
              "points; below the limit is the knee.",
              "GPUs", "percent", true};
  for (const ScaleCurve& curve : report.curves) {
    Series line{curve.question.label, {}, true, false};
    for (const ScalePoint& p : curve.points) {
      if (!p.marginal) continue;
      const double y = 100 * p.marginal->share;
      line.points.push_back({static_cast<double>(p.gpus), y, y, y, ""});
    }
    chart.series.push_back(std::move(line));
  }
  tabulate(chart);
  return to_html(chart);
}

std::string figures(const ScaleReport& r) {
  std::string out = "<div class=\"grid\">\n";
  out += figure(r,
                {"Tokens per second and GPU", "The band is the error learnt from published runs.",
                 "", "tokens/s per GPU"},
                [](const ScaledPlan& p, double n) {
                  return Value{p.tokens_per_s / n, p.tokens_per_s_low / n, p.tokens_per_s_high / n};
                });
  out += figure(
      r, {"Tokens per second, all GPUs", "Both axes logarithmic.", "", "tokens/s", true, true},
      [](const ScaledPlan& p, double) {
        return Value{p.tokens_per_s, p.tokens_per_s_low, p.tokens_per_s_high};
      });
  out += marginal(r);
  out += figure(r, {"Model FLOPs utilisation", "Of the dense peak.", "", "percent"},
                [](const ScaledPlan& p, double) {
                  const StepEstimate& s = p.step;
                  return Value{100 * s.mfu, 100 * s.mfu * s.step_s / s.step_high_s,
                               100 * s.mfu * s.step_s / s.step_low_s};
                });
  if (r.curves.size() == 1) out += communication(r.curves.front());
  out +=
      figure(r, {"Exposed communication", "GPUs wait for it; all axes.", "", "percent of the step"},
             [](const ScaledPlan& p, double) { return plain(100 * exposed_s(p) / p.step.step_s); });
  out += figure(r, {"Power per GPU", "With host and building.", "", "watts"},
                [](const ScaledPlan& p, double) { return plain(p.power.facility_w); });
  out += figure(r, {"Tokens per joule", "Of the whole building.", "", "tokens/J"},
                [](const ScaledPlan& p, double) {
                  const StepEstimate& s = p.step;
                  const double y = p.power.tokens_per_joule;
                  return Value{y, y * s.step_s / s.step_high_s, y * s.step_s / s.step_low_s};
                });
  out += figure(r, {"Days to train", "Failures and checkpoints included.", "", "days", true, true},
                [](const ScaledPlan& p, double) {
                  return Value{p.train_s / 86'400, p.train_low_s / 86'400, p.train_high_s / 86'400};
                });
  out += figure(r, {"Cost of the training", "GPU-hours and energy, failures included.", "", "USD"},
                [](const ScaledPlan& p, double) {
                  return Value{p.train_usd, p.train_usd * p.train_low_s / p.train_s,
                               p.train_usd * p.train_high_s / p.train_s};
                });
  out += figure(
      r, {"Effective training time", "Of the time in which the GPUs are held.", "", "percent"},
      [](const ScaledPlan& p, double) { return plain(100 * p.goodput.effective_share); }, false);
  return out + "</div>\n";
}

std::string all_points(const ScaleCurve& curve) {
  page::Table table{{"GPUs", "plan", "batch tokens", "step", "tokens/s", "next GPU", "MFU",
                     "exposed", "hidden", "power", "tok/J", "added tok/J", "tok/USD",
                     "added tok/USD", "effective", "ideal", "to train", "cost", "ties"},
                    {}};
  for (const ScalePoint& p : curve.points) {
    if (!p.best) {
      std::vector<std::string> row(table.header.size());
      row[0] = grouped(p.gpus);
      row[1] = "no plan: " + p.why_none;
      table.rows.push_back(std::move(row));
      continue;
    }
    const ScaledPlan& b = *p.best;
    const auto added = [&](double Marginal::*of) {
      return p.marginal ? count(*p.marginal.*of) : std::string();
    };
    table.rows.push_back({grouped(p.gpus), brief(b.step.plan),
                          count(static_cast<double>(p.batch.global_sequences * p.batch.sequence)),
                          fmt::format("{} ({} to {})", seconds(b.step.step_s),
                                      seconds(b.step.step_low_s), seconds(b.step.step_high_s)),
                          count(b.tokens_per_s), p.marginal ? percent(p.marginal->share) : "",
                          percent(b.step.mfu), seconds(exposed_s(b)), seconds(exposed_s(b, true)),
                          watts(b.power.facility_w * static_cast<double>(p.gpus)),
                          significant(b.power.tokens_per_joule), added(&Marginal::tokens_per_joule),
                          count(b.tokens_per_usd), added(&Marginal::tokens_per_usd),
                          percent(b.goodput.effective_share), days(b.train_ideal_s),
                          days(b.train_s), count(b.train_usd) + " USD", p.ties > 0 ? "yes" : ""});
  }
  return to_html(table);
}

std::string list(const std::vector<std::string>& lines) {
  std::string out = "<ul>\n";
  for (const auto& line : lines) out += "<li>" + page::escaped(line) + "</li>\n";
  return out + "</ul>\n";
}

}  // namespace

std::string to_html(const ScaleReport& report) {
  std::string body;
  for (const ScaleCurve& curve : report.curves) {
    const SearchQuestion& q = curve.question.search;
    body += fmt::format(
        "<h2>{}</h2>\n<p>{} scaling; {} parameters on {}, sequences of {} tokens, trainer {}, {}; "
        "trained on {} tokens.</p>\n",
        page::escaped(curve.question.label),
        curve.question.scaling == Scaling::weak ? "Weak" : "Strong",
        count(static_cast<double>(parameters(q.model))), page::escaped(q.cluster.gpu.name),
        grouped(q.batch.sequence), page::escaped(q.trainer.id), name_of(q.compute),
        count(curve.tokens));
    body += list(findings(curve, report.inputs));
  }
  body += "<h2>Charts</h2>\n";
  if (!page::has_charts())
    body +=
        "<p>This build of meshplan has no chart library (Debian: libjs-chart.js): tables "
        "only.</p>\n";
  body += figures(report);
  body += "<h2>All points</h2>\n";
  for (const ScaleCurve& curve : report.curves)
    body += "<h3>" + page::escaped(curve.question.label) + "</h3>\n" + all_points(curve);
  body += "<h2>Command and assumptions</h2>\n<pre>" + page::escaped(report.command) + "</pre>\n";
  if (!report.defaults.empty()) body += "<p>Not stated:</p>\n" + list(report.defaults);
  body += list(assumptions(report.inputs));
  std::vector<std::string> seen;
  for (const ScaleCurve& curve : report.curves)
    for (const ScalePoint& p : curve.points)
      if (p.best)
        for (const auto* lines : {&p.best->step.assumptions, &p.best->step.not_modelled})
          for (const auto& line : *lines)
            if (std::find(seen.begin(), seen.end(), line) == seen.end()) seen.push_back(line);
  body += "<p>Assumed of model and machine, and not modelled:</p>\n" + list(seen);
  return page::document("What does the next GPU buy?", body);
}

}  // namespace meshplan::report
