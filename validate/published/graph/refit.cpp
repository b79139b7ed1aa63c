// SPDX-License-Identifier: Apache-2.0
#include "validate/published/graph/refit.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <map>

#include "validate/published/graph/report.hpp"

namespace meshplan::graph {
namespace {

/// A fitted constant of a system.
struct Place {
  std::string system;
  const SystemConstant* constant;
};

struct FitRow {
  const PublishedGraph* published;
  BatchWork work;
};

std::string source_of(const GraphRow& row) { return row.source; }
std::string graph_of(const GraphRow& row) { return row.source + ": " + row.dataset; }

}  // namespace

Result<GraphRefit> refit_graphs(const CsvTable& table, const RefitOptions& options) {
  MESHPLAN_TRY(const Systems systems, load_systems());
  MESHPLAN_TRY(const PublishedGraphs published, validate_graphs(table));
  std::vector<FitRow> rows;
  for (const PublishedGraph& one : published.rows) {
    if (!one.prediction) continue;
    MESHPLAN_TRY(BatchWork work, work_of(*one.row.question));
    rows.push_back({&one, work});
  }
  if (rows.empty())
    return Diagnostic{
        .kind = ErrorKind::input, .message = "no row can be predicted", .where = table.name()};
  std::vector<Place> places;
  std::vector<FitConstant> constants;
  for (const System& system : systems.systems)
    for (const SystemConstant& constant : system_constants())
      for (const std::string& key : system.fitted)
        if (key == constant.key) {
          places.push_back({system.contains, &constant});
          constants.push_back({system.contains + " " + key, constant.lower, constant.upper,
                               system.*constant.field / constant.unit});
        }
  const auto model_by = [&](std::string (*family)(const GraphRow&)) -> FitModel {
    return [&, family](const std::vector<double>& values) -> Result<std::vector<FamilyLoss>> {
      std::map<std::string, std::pair<double, int>> sums;
      for (const FitRow& one : rows) {
        const GraphRow& row = one.published->row;
        GraphQuestionRow question = *row.question;
        for (size_t i = 0; i < places.size(); ++i)
          if (places[i].system == question.system.contains)
            question.system.*places[i].constant->field = values[i] * places[i].constant->unit;
        const double rate = predict(question, one.work).edges_per_s;
        auto& [sum, count] = sums[family(row)];
        sum += std::abs(*row.measured_edges_per_s / rate - 1);
        ++count;
      }
      std::vector<FamilyLoss> out;
      out.reserve(sums.size());
      for (const auto& [name, of] : sums)
        out.push_back({name, of.first / of.second, std::numeric_limits<double>::quiet_NaN(),
                       static_cast<double>(of.second)});
      return out;
    };
  };
  GraphRefit out;
  MESHPLAN_TRY(out.by_graph, refit(constants, model_by(graph_of), options));
  MESHPLAN_TRY(out.by_source, refit(constants, model_by(source_of), options));
  return out;
}

std::string refit_text(const GraphRefit& fit) {
  std::string out = "every row weighs the same; left out: a graph of a source, then a source\n\n";
  out += meshplan::refit_text(fit.by_graph, "graphs of a source") + "\n";
  return out + meshplan::refit_text(fit.by_source, "sources");
}

}  // namespace meshplan::graph
