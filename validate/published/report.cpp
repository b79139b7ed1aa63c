// SPDX-License-Identifier: Apache-2.0
#include "validate/published/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "validate/published/cases.hpp"
#include "validate/published/step_predictor.hpp"

namespace meshplan {
namespace {

using Key = std::function<std::string(const PublishedCase&)>;

/// "A 1-9" style labels sort as wanted; the letters are cut off when shown.
std::string bucket(double value, const std::vector<std::pair<double, const char*>>& limits) {
  char letter = 'a';
  for (const auto& [limit, label] : limits) {
    if (value < limit) return fmt::format("{}{}", letter, label);
    ++letter;
  }
  return "?";
}

const Plan* plan_of(const PublishedCase& c) {
  return c.prediction ? &c.prediction->estimate.plan : nullptr;
}

template <class Value>
Key by_plan(Value value) {
  return [value](const PublishedCase& c) -> std::string {
    const Plan* plan = plan_of(c);
    return plan == nullptr ? "~refused" : fmt::format("{:>5}", value(*plan));
  };
}

std::string size_label(const PublishedCase& c) {
  if (!c.question.question) return "~refused";
  return bucket(static_cast<double>(parameters(c.question.question->model)),
                {{1e9, "below 1B"},
                 {10e9, "1B to 10B"},
                 {50e9, "10B to 50B"},
                 {150e9, "50B to 150B"},
                 {1e99, "150B and more"}});
}

std::string gpu_count_label(const PublishedCase& c) {
  return bucket(static_cast<double>(c.question.gpus), {{1, "not stated"},
                                                       {2, "1"},
                                                       {9, "2 to 8"},
                                                       {65, "9 to 64"},
                                                       {513, "65 to 512"},
                                                       {1e99, "more than 512"}});
}

std::string shown_label(const std::string& label) {
  if (!label.empty() && label[0] == '~') return label.substr(1);
  const size_t begin = label.find_first_not_of(' ');
  return begin == std::string::npos ? "not stated" : label.substr(begin);
}

Breakdown break_down(const std::string& title, const PublishedReport& report, const Key& key,
                     bool lettered = false) {
  struct Rows {
    std::vector<const ScoredRow*> gold, silver;
  };
  std::map<std::string, Rows> split;
  for (size_t i = 0; i < report.cases.size(); ++i) {
    const ScoredRow& row = report.rows[i];
    if (!row.scored_time() || (row.tier != "gold" && row.tier != "silver")) continue;
    Rows& rows = split[key(report.cases[i])];
    (row.tier == "gold" ? rows.gold : rows.silver).push_back(&row);
  }
  Breakdown out{title, {}};
  for (const auto& [label, rows] : split) {
    const bool cut = lettered && label[0] != '~' && label.size() > 1;
    out.lines.push_back(
        {cut ? label.substr(1) : shown_label(label), summarise(rows.gold), summarise(rows.silver)});
  }
  return out;
}

std::vector<Breakdown> break_down_all(const PublishedReport& report) {
  std::vector<Breakdown> out;
  out.push_back(break_down("source", report, [](const auto& c) { return c.question.family; }));
  out.push_back(break_down("trainer", report, [](const auto& c) { return c.question.trainer_id; }));
  out.push_back(break_down("GPU", report, [](const auto& c) { return c.question.gpu_id; }));
  out.push_back(break_down("model size", report, size_label, true));
  out.push_back(break_down("GPUs", report, gpu_count_label, true));
  out.push_back(break_down("number format", report, [](const PublishedCase& c) -> std::string {
    return plan_of(c) != nullptr ? name_of(plan_of(c)->compute) : "~refused";
  }));
  out.push_back(break_down("mixture of experts", report, [](const PublishedCase& c) -> std::string {
    return !c.question.question ? "~refused" : c.question.question->model.moe ? "yes" : "no";
  }));
  out.push_back(break_down("tp", report, by_plan([](const Plan& p) { return p.tp; })));
  out.push_back(break_down("pp", report, by_plan([](const Plan& p) { return p.pp; })));
  out.push_back(break_down("vpp", report, by_plan([](const Plan& p) { return p.vpp; })));
  out.push_back(break_down("cp", report, by_plan([](const Plan& p) { return p.cp; })));
  out.push_back(break_down("ep", report, by_plan([](const Plan& p) { return p.ep; })));
  out.push_back(break_down("ZeRO level", report, by_plan([](const Plan& p) { return p.zero; })));
  out.push_back(
      break_down("micro-batch", report, by_plan([](const Plan& p) { return p.micro_batch; })));
  out.push_back(
      break_down("recompute", report, by_plan([](const Plan& p) { return to_text(p.recompute); })));
  return out;
}

}  // namespace

std::optional<double> measured_share_of_peak(const PublishedCase& one) {
  const auto& measured = one.question.measured.step_s;
  if (!one.prediction || !measured || *measured <= 0) return std::nullopt;
  if (one.question.question && one.question.question->adapters_only) return std::nullopt;
  const StepEstimate& estimate = one.prediction->estimate;
  if (estimate.mfu <= 0) return std::nullopt;
  return estimate.mfu * estimate.step_s / *measured;
}

ScoredRow scored(const PublishedCase& one) {
  const Case& c = one.question;
  ScoredRow row;
  row.id = c.id;
  row.family = c.family;
  row.tier = c.tier;
  row.group = c.group;
  row.plan_key = c.plan_key;
  row.ran = !c.measured.out_of_memory;
  row.refused = !one.prediction;
  row.states_too_little = c.states_too_little;
  row.measured_step_s = c.measured.step_s;
  row.measured_bytes = c.measured.peak_memory_bytes;
  if (one.prediction) {
    row.predicted_step_s = one.prediction->estimate.step_s;
    row.predicted_bytes = static_cast<double>(one.prediction->estimate.reported_memory_bytes);
    row.fits = one.prediction->estimate.fits;
  }
  return row;
}

namespace {

/// Step times: gold and silver rows that ran, have a printed step time and were predicted. Memory:
/// all rows with a printed peak that were predicted.
std::vector<BandRow> band_rows(const PublishedReport& report, bool memory) {
  std::vector<BandRow> out;
  for (size_t i = 0; i < report.cases.size(); ++i) {
    const ScoredRow& row = report.rows[i];
    if (row.refused || !(memory ? row.scored_memory() : row.scored_time())) continue;
    if (!memory && row.tier == "bronze") continue;
    const Case& c = report.cases[i].question;
    const Question& q = *c.question;
    if (q.cluster == nullptr) continue;
    out.push_back(
        {row.family,
         {q.trainer.family(), q.cluster->gpu.family, c.nodes > 1, q.model.moe.has_value()},
         memory ? std::log(*row.measured_bytes / *row.predicted_bytes)
                : std::log(*row.measured_step_s / *row.predicted_step_s)});
  }
  return out;
}

}  // namespace

Result<EstimateBands> bands_of(const PublishedReport& report) {
  if (!report.bands || !report.memory_bands)
    return Diagnostic{ErrorKind::check, "error bands need two sources of times and of peaks",
                      report.table};
  return EstimateBands{report.table, report.bands->bands, report.memory_bands->bands};
}

Result<PublishedReport> report_on(std::vector<Case> cases, const std::string& table,
                                  const Predictor& predictor) {
  PublishedReport report;
  report.table = table;
  for (Case& c : cases) {
    PublishedCase one;
    if (c.question) {
      Result<Prediction> prediction = predict(*c.question, predictor);
      if (prediction.ok())
        one.prediction = std::move(*prediction);
      else
        one.refusal = prediction.error();
    } else {
      one.refusal = c.refusal;
    }
    one.question = std::move(c);
    report.cases.push_back(std::move(one));
    report.rows.push_back(scored(report.cases.back()));
  }
  report.score = score(report.rows);
  std::vector<ScoredRow> possible;
  for (size_t i = 0; i < report.rows.size(); ++i)
    if (measured_share_of_peak(report.cases[i]).value_or(0) <= 1)
      possible.push_back(report.rows[i]);
  report.within_peak = score(possible);
  report.breakdowns = break_down_all(report);
  std::vector<SeriesRow> rows;
  for (const PublishedCase& c : report.cases)
    rows.push_back({&c.question, c.prediction ? &c.prediction->estimate : nullptr});
  MESHPLAN_CHECK(run_series(rows, report.series, report.subsets));
  report.trends = factor_trends(rows);
  Result<BandFit> bands = fit_bands(band_rows(report, false));
  if (bands.ok()) report.bands = std::move(*bands);
  Result<BandFit> peaks = fit_bands(band_rows(report, true));
  if (peaks.ok()) report.memory_bands = std::move(*peaks);
  return report;
}

Result<PublishedReport> validate_published(const std::string& path,
                                           const PublishedOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  MESHPLAN_TRY(std::vector<Case> cases, read_cases(path));
  Predictor predictor = options.predictor;
  if (!predictor) {
    MESHPLAN_TRY(const Constants constants, load_constants());
    predictor = step_predictor(constants);
  }
  MESHPLAN_TRY(PublishedReport report, report_on(std::move(cases), path, predictor));
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

}  // namespace meshplan
