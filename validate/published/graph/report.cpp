// SPDX-License-Identifier: Apache-2.0
#include "validate/published/graph/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

namespace meshplan::graph {
namespace {

using Json = nlohmann::ordered_json;

std::string percent(double value) { return fmt::format("{:.1f} %", 100 * value); }

/// Rows as the scores of published runs take them: time per edge.
ScoredRow scored(const PublishedGraph& one) {
  ScoredRow out;
  out.id = one.row.id;
  out.family = one.row.source;
  out.measured_step_s = 1 / *one.row.measured_edges_per_s;
  out.predicted_step_s = 1 / one.prediction->edges_per_s;
  return out;
}

/// Every refused row stands by its name under the reason.
std::string refusals(const PublishedGraphs& report) {
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const PublishedGraph& one : report.rows)
    if (!one.prediction)
      by_reason[one.refusal].push_back(one.row.id.empty() ? fmt::format("line {}", one.row.line)
                                                          : one.row.id);
  std::string out;
  for (const auto& [reason, ids] : by_reason) {
    out += fmt::format("\nnot asked, {} rows: {}\n", ids.size(), reason);
    std::string line = " ";
    for (const std::string& id : ids) {
      if (line.size() + id.size() > 98) {
        out += line + '\n';
        line = " ";
      }
      line += " " + id;
    }
    out += line + '\n';
  }
  return out;
}

}  // namespace

Result<PublishedGraphs> validate_graphs(const CsvTable& table) {
  MESHPLAN_CHECK(table.require({"id", "source", "system", "dataset", "nodes", "edges", "dim", "gpu",
                                "batch", "negatives", "edges_per_s"}));
  MESHPLAN_TRY(const Systems systems, load_systems());
  PublishedGraphs out;
  out.table = table.name();
  for (const CsvRecord& record : table.records()) {
    PublishedGraph one;
    one.row = read_graph_row(table, record, systems);
    one.refusal = one.row.refusal;
    if (one.row.question) {
      auto predicted = predict(*one.row.question);
      if (predicted.ok())
        one.prediction = std::move(predicted).value();
      else
        one.refusal = predicted.error().message;
    }
    out.rows.push_back(std::move(one));
  }
  return out;
}

std::vector<std::pair<std::string, ErrorSummary>> errors_of(const PublishedGraphs& report) {
  std::vector<ScoredRow> rows;
  for (const PublishedGraph& one : report.rows)
    if (one.prediction) rows.push_back(scored(one));
  std::vector<std::pair<std::string, ErrorSummary>> out;
  std::vector<const ScoredRow*> all;
  all.reserve(rows.size());
  for (const ScoredRow& row : rows) all.push_back(&row);
  for (const auto& [source, of] :
       rows_by(rows, "", [](const ScoredRow& row) { return row.family; }))
    out.emplace_back(source, summarise(of));
  out.emplace_back("all", summarise(all));
  return out;
}

std::string graphs_text(const PublishedGraphs& report) {
  std::string out = fmt::format("{}: {} rows\n\n", report.table, report.rows.size());
  out += fmt::format("{:<9} {:<34} {:<12} {:>4} {:>11} {:>11} {:>9}\n", "row", "system", "graph",
                     "D", "edges/s", "predicted", "time");
  double memory = 0;
  int memory_rows = 0;
  for (const PublishedGraph& one : report.rows) {
    if (!one.prediction) continue;
    out += fmt::format("{:<9} {:<34} {:<12} {:>4} {:>11.0f} {:>11.0f} {:>+7.1f} %\n", one.row.id,
                       one.row.system.substr(0, 34), one.row.dataset.substr(0, 12),
                       one.row.question->workload.dimension, *one.row.measured_edges_per_s,
                       one.prediction->edges_per_s, 100 * one.error());
    if (!one.row.measured_bytes) continue;
    memory += std::abs(one.prediction->parameter_bytes / *one.row.measured_bytes - 1);
    ++memory_rows;
  }
  out += fmt::format("\n{:<50}{:>6}{:>9}{:>9}{:>10}\n", "time of an epoch, by source", "rows",
                     "mean", "median", "signed");
  for (const auto& [label, errors] : errors_of(report))
    out += fmt::format("  {:<48}{:>6}{:>9}{:>9}{:>+8.1f} %\n", label.substr(0, 48), errors.rows,
                       percent(errors.mean), percent(errors.median), 100 * errors.signed_mean);
  if (memory_rows > 0)
    out += fmt::format("  {:<48}{:>6}{:>9}\n", "bytes of the parameters", memory_rows,
                       percent(memory / memory_rows));
  return out + refusals(report);
}

std::string graphs_json(const PublishedGraphs& report) {
  Json cases = Json::array();
  for (const PublishedGraph& one : report.rows) {
    Json line = {{"id", one.row.id},
                 {"line", one.row.line},
                 {"source", one.row.source},
                 {"measured_edges_per_s", nullptr},
                 {"predicted_edges_per_s", nullptr},
                 {"error", nullptr},
                 {"refused", nullptr}};
    if (one.row.measured_edges_per_s) line["measured_edges_per_s"] = *one.row.measured_edges_per_s;
    if (one.prediction) {
      line["predicted_edges_per_s"] = one.prediction->edges_per_s;
      line["error"] = one.error();
      line["predicted_parameter_bytes"] = one.prediction->parameter_bytes;
      line["storage_s"] = one.prediction->storage_s;
      line["rows_on_host"] = one.prediction->rows_on_host;
    } else {
      line["refused"] = one.refusal;
    }
    cases.push_back(std::move(line));
  }
  Json by_source = Json::object();
  for (const auto& [label, errors] : errors_of(report))
    by_source[label] = {{"rows", errors.rows},
                        {"mean", errors.rows > 0 ? Json(errors.mean) : Json()},
                        {"median", errors.rows > 0 ? Json(errors.median) : Json()},
                        {"signed_mean", errors.rows > 0 ? Json(errors.signed_mean) : Json()}};
  return Json{{"schema", "meshplan.published-graphs/1"},
              {"inputs", {{"table", report.table}}},
              {"cases", std::move(cases)},
              {"by_source", std::move(by_source)}}
             .dump(2) +
         "\n";
}

std::string graphs_csv(const PublishedGraphs& report) {
  std::string out = "id,source,system,measured_edges_per_s,predicted_edges_per_s,error,refused\n";
  for (const PublishedGraph& one : report.rows)
    out += fmt::format(
        "{},{},{},{},{},{},{}\n", csv_cell(one.row.id), csv_cell(one.row.source),
        csv_cell(one.row.system),
        one.row.measured_edges_per_s ? fmt::format("{:.6g}", *one.row.measured_edges_per_s) : "",
        one.prediction ? fmt::format("{:.6g}", one.prediction->edges_per_s) : "",
        one.prediction ? fmt::format("{:.4f}", one.error()) : "", csv_cell(one.refusal));
  return out;
}

}  // namespace meshplan::graph
