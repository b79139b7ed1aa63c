// SPDX-License-Identifier: Apache-2.0
// Pairs of rows that differ in one column of the plan, over the whole table.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "validate/published/series.hpp"

namespace meshplan {
namespace {

struct Factor {
  const char* name;
  double (*value)(const Case&, const Plan&);
};

double gpus(const Case& c, const Plan&) { return static_cast<double>(c.gpus); }
double sequence(const Case& c, const Plan&) {
  return static_cast<double>(c.question->batch.sequence);
}
double batch(const Case& c, const Plan&) {
  return static_cast<double>(c.question->batch.global_sequences);
}
double micro_batch(const Case&, const Plan& p) { return p.micro_batch; }
double tp(const Case&, const Plan& p) { return p.tp; }
double pp(const Case&, const Plan& p) { return p.pp; }
double vpp(const Case&, const Plan& p) { return p.vpp; }
double cp(const Case&, const Plan& p) { return p.cp; }
double ep(const Case&, const Plan& p) { return p.ep; }
double zero(const Case&, const Plan& p) { return p.zero; }
double sp(const Case&, const Plan& p) { return p.tp > 1 && p.sequence_parallel ? 1 : 0; }
double recompute(const Case&, const Plan& p) { return static_cast<double>(p.recompute); }
double compute(const Case&, const Plan& p) { return static_cast<double>(p.compute); }

const std::vector<Factor> kFactors = {{"GPUs", gpus},
                                      {"sequence length", sequence},
                                      {"global batch", batch},
                                      {"micro-batch", micro_batch},
                                      {"tensor parallel", tp},
                                      {"sequence parallel", sp},
                                      {"pipeline stages", pp},
                                      {"chunks per stage", vpp},
                                      {"context parallel", cp},
                                      {"expert parallel", ep},
                                      {"ZeRO level", zero},
                                      {"recompute", recompute},
                                      {"number format", compute}};

struct Point {
  double x, measured, predicted;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

FactorTrend trend_of(size_t factor, const std::vector<SeriesRow>& rows) {
  std::map<std::string, std::vector<Point>> groups;
  for (const SeriesRow& row : rows) {
    const Case& c = *row.question;
    if (row.estimate == nullptr || !c.question || !c.measured.step_s || c.measured.out_of_memory ||
        c.tier == "bronze")
      continue;
    // The plan as predicted: where the row is open, both rows of a pair were filled by the rule.
    const Plan& plan = row.estimate->plan;
    std::string key = fmt::format("{}|{}|{}|{}", c.source, c.model_name, c.trainer_id, c.gpu_id);
    for (size_t i = 0; i < kFactors.size(); ++i)
      key += i == factor ? "|*" : fmt::format("|{}", kFactors[i].value(c, plan));
    key += fmt::format("|{}", parameters(c.question->model));
    groups[key].push_back(
        {kFactors[factor].value(c, plan), *c.measured.step_s, row.estimate->step_s});
  }
  FactorTrend out{kFactors[factor].name};
  std::vector<double> misses;
  for (auto& [key, points] : groups) {
    std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) {
      return a.x != b.x ? a.x < b.x : a.measured < b.measured;
    });
    // Of repeated measurements the fastest, as in the order scores.
    points.erase(std::unique(points.begin(), points.end(),
                             [](const Point& a, const Point& b) { return a.x == b.x; }),
                 points.end());
    for (size_t i = 1; i < points.size(); ++i) {
      const double measured = std::log(points[i].measured / points[i - 1].measured);
      const double predicted = std::log(points[i].predicted / points[i - 1].predicted);
      misses.push_back(std::abs(predicted - measured));
      if (std::abs(measured) < 0.02) continue;
      ++out.pairs;
      out.same_sign += measured * predicted > 0 ? 1 : 0;
    }
  }
  out.median_miss = median(std::move(misses));
  return out;
}

}  // namespace

std::vector<FactorTrend> factor_trends(const std::vector<SeriesRow>& rows) {
  std::vector<FactorTrend> out;
  for (size_t i = 0; i < kFactors.size(); ++i) {
    FactorTrend trend = trend_of(i, rows);
    if (trend.pairs > 0) out.push_back(std::move(trend));
  }
  return out;
}

}  // namespace meshplan
