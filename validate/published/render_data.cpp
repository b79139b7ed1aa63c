// SPDX-License-Identifier: Apache-2.0
// The report for programs: JSON (schema meshplan.published/1) and CSV.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "validate/published/csv.hpp"
#include "validate/published/report.hpp"

namespace meshplan {
namespace {

using Json = nlohmann::ordered_json;

/// NaN and absent values are null: JSON has no other word for "no row bears on it".
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json number(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }

std::optional<double> error_of(const ScoredRow& row) {
  return row.scored_time() ? row.signed_error() : std::nullopt;
}

std::string refusal_text(const PublishedCase& c) {
  if (c.prediction) return "";
  std::string text = c.refusal.message;
  if (!c.refusal.where.empty()) text += " (" + c.refusal.where + ")";
  if (!c.refusal.value.empty()) text += ": " + c.refusal.value;
  return text;
}

Json case_json(const PublishedCase& c, const ScoredRow& row) {
  Json out;
  out["id"] = c.question.id;
  out["source"] = c.question.source;
  out["family"] = c.question.family;
  out["tier"] = c.question.tier;
  out["trainer"] = c.question.trainer_id;
  out["gpu"] = c.question.gpu_id;
  out["measured_step_s"] = number(row.measured_step_s);
  out["predicted_step_s"] = number(row.predicted_step_s);
  out["error"] = number(error_of(row));
  out["measured_share_of_peak"] = number(measured_share_of_peak(c));
  out["measured_memory_bytes"] = number(row.measured_bytes);
  out["predicted_memory_bytes"] = number(row.predicted_bytes);
  out["outcome"] = row.ran ? "ran" : "oom";
  out["fits"] = row.fits ? Json(*row.fits) : Json(nullptr);
  out["refused"] = c.prediction ? Json(nullptr) : Json(refusal_text(c));
  if (c.prediction) {
    const StepEstimate& e = c.prediction->estimate;
    out["predicted_step_low_s"] = number(e.step_low_s);
    out["predicted_step_high_s"] = number(e.step_high_s);
    out["plan"] = to_text(e.plan);
    Json time = Json::object();
    for (const Part& part : e.time) time[part.name] = number(part.value);
    out["time"] = time;
    Json memory = Json::object();
    for (const Part& part : e.memory) memory[part.name] = number(part.value);
    out["memory"] = memory;
    out["peak_stage"] = e.peak_stage;
    out["chosen"] = c.question.question->chosen;
    out["candidates"] = c.prediction->priced;
  }
  return out;
}

Json summary_json(const ErrorSummary& s) {
  return {{"rows", s.rows},
          {"mean", number(s.mean)},
          {"median", number(s.median)},
          {"signed_mean", number(s.signed_mean)}};
}

Json score_json(const Score& s) {
  return {{"step_mean_over_sources", number(s.step_mean_over_sources)},
          {"step_median", number(s.step_median)},
          {"step_signed_mean", number(s.step_signed_mean)},
          {"silver_mean_over_sources", number(s.silver_mean_over_sources)},
          {"silver_median", number(s.silver_median)},
          {"silver_signed_mean", number(s.silver_signed_mean)},
          {"order_tau", number(s.order_tau)},
          {"order_regret", number(s.order_regret)},
          {"memory_mean", number(s.memory_mean)},
          {"memory_mean_over_sources", number(s.memory_mean_over_sources)},
          {"ran_called_feasible", number(s.ran_called_feasible)},
          {"ran_called_feasible_rows", number(s.ran_called_feasible_rows)},
          {"oom_called_infeasible", number(s.oom_called_infeasible)},
          {"oom_called_infeasible_rows", number(s.oom_called_infeasible_rows)},
          {"gold_rows", s.gold_rows},
          {"silver_rows", s.silver_rows},
          {"order_groups", s.groups},
          {"memory_rows", s.memory_rows},
          {"refused", s.refused},
          {"states_too_little", s.states_too_little}};
}

}  // namespace

Json to_json(const BandFit& fit) {
  return {{"wanted_coverage", kBandCoverage},
          {"coverage_left_out", number(fit.bands.coverage_left_out)},
          {"widening", number(fit.bands.widening)},
          {"mean_half_width_log", number(fit.mean_half_width)}};
}

std::string published_json(const PublishedReport& report) {
  Json out;
  out["schema"] = "meshplan.published/1";
  out["inputs"] = {{"table", report.table}, {"rows", report.cases.size()}};
  out["provenance"] = {{"mapping", "validate/published/mapping.yaml"},
                       {"constants", "costmodel/data/constants.yaml"}};
  out["run"] = {{"seconds", report.seconds}};
  out["score"] = score_json(report.score);
  out["score_within_peak"] = score_json(report.within_peak);  // without impossible measurements
  Json sources = Json::object();
  for (const FamilyScore& f : report.score.families)
    sources[f.family] = {{"gold", summary_json(f.gold)},
                         {"silver", summary_json(f.silver)},
                         {"memory_rows", f.memory_rows},
                         {"memory_mean", number(f.memory_mean)},
                         {"ran", f.ran},
                         {"ran_called_feasible", f.ran_feasible},
                         {"oom", f.oom},
                         {"oom_called_infeasible", f.oom_infeasible},
                         {"refused", f.refused}};
  out["by_source"] = sources;
  for (const Breakdown& table : report.breakdowns) {
    if (table.title == "source") continue;
    Json lines = Json::object();
    for (const auto& line : table.lines)
      lines[line.label] = {{"gold", summary_json(line.gold)},
                           {"silver", summary_json(line.silver)}};
    out["by"][table.title] = lines;
  }
  out["subsets"] = Json::array();
  for (const SubsetResult& s : report.subsets)
    out["subsets"].push_back({{"name", s.name},
                              {"rows", s.rows},
                              {"statistic", s.statistic},
                              {"error", number(s.value)},
                              {"signed_mean", number(s.signed_mean)},
                              {"limit", s.limit},
                              {"ok", s.ok}});
  out["series"] = Json::array();
  for (const SeriesResult& s : report.series) {
    Json points = Json::array();
    for (const SeriesPoint& p : s.points)
      points.push_back({{"id", p.id},
                        {"at", p.label},
                        {"measured", number(p.measured)},
                        {"predicted", number(p.predicted)}});
    out["series"].push_back({{"group", s.group},
                             {"what", s.what},
                             {"factor", s.factor},
                             {"measure", s.measure},
                             {"measured_change", number(s.measured_change)},
                             {"predicted_change", number(s.predicted_change)},
                             {"same_sign", s.same_sign},
                             {"worst", number(s.worst)},
                             {"missing", s.missing},
                             {"points", points}});
  }
  out["trends"] = Json::array();
  for (const FactorTrend& t : report.trends)
    out["trends"].push_back({{"factor", t.factor},
                             {"pairs", t.pairs},
                             {"same_sign", t.same_sign},
                             {"median_log_ratio_miss", number(t.median_miss)}});
  if (report.bands) out["bands"] = to_json(*report.bands);
  if (report.memory_bands) out["memory_bands"] = to_json(*report.memory_bands);
  out["cases"] = Json::array();
  for (size_t i = 0; i < report.cases.size(); ++i)
    out["cases"].push_back(case_json(report.cases[i], report.rows[i]));
  return out.dump(1) + "\n";
}

std::string published_csv(const PublishedReport& report) {
  std::string out =
      "id,source,family,tier,trainer,gpu_id,outcome,measured_step_s,predicted_step_s,error,"
      "measured_memory_bytes,predicted_memory_bytes,fits,plan,chosen,refused\n";
  const auto cell = [](const std::optional<double>& value, const char* format) {
    return value ? fmt::format(fmt::runtime(format), *value) : std::string();
  };
  for (size_t i = 0; i < report.cases.size(); ++i) {
    const PublishedCase& c = report.cases[i];
    const ScoredRow& row = report.rows[i];
    std::string chosen;
    if (c.question.question) {
      for (const auto& line : c.question.question->chosen)
        chosen += (chosen.empty() ? "" : "; ") + line;
    }
    const std::vector<std::string> cells = {
        c.question.id,
        c.question.source,
        c.question.family,
        c.question.tier,
        c.question.trainer_id,
        c.question.gpu_id,
        row.ran ? "ran" : "oom",
        cell(row.measured_step_s, "{:.6g}"),
        cell(row.predicted_step_s, "{:.6g}"),
        cell(error_of(row), "{:.4f}"),
        cell(row.measured_bytes, "{:.0f}"),
        cell(row.predicted_bytes, "{:.0f}"),
        row.fits ? (*row.fits ? "1" : "0") : "",
        c.prediction ? to_text(c.prediction->estimate.plan) : "",
        chosen,
        refusal_text(c)};
    for (size_t k = 0; k < cells.size(); ++k) out += (k > 0 ? "," : "") + csv_cell(cells[k]);
    out += "\n";
  }
  return out;
}

}  // namespace meshplan
