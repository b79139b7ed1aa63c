// SPDX-License-Identifier: Apache-2.0
// meshplan validate published: predicted against measured, for a table of published runs.
#include <fmt/format.h>

#include "planner/cli/parse.hpp"
#include "planner/cli/progress.hpp"
#include "planner/report/format.hpp"
#include "strategies/embedding/workload.hpp"
#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "validate/published/graph/report.hpp"
#include "validate/published/report.hpp"

namespace meshplan::cli {
namespace {

int published_graphs(const CsvTable& table, const std::string& csv, const std::string& html,
                     bool json) {
  if (!html.empty())
    return fail({.kind = ErrorKind::usage,
                 .message = "graph embeddings have no page",
                 .where = "--html",
                 .hint = "--csv, --json"},
                json);
  MESHPLAN_CLI_TRY(const graph::PublishedGraphs report, graph::validate_graphs(table), json);
  print(json ? graph::graphs_json(report) : graph::graphs_text(report));
  const Status written = csv.empty() ? Status(Done{}) : write_file(csv, graph::graphs_csv(report));
  return written.ok() ? 0 : fail(written.error(), json);
}

int run_published(const Arguments& arguments) {
  CLI::App app(
      "Predicts every run of a table and compares with what was measured: per case, per source.\n\n"
      "  meshplan validate published validate/published/runs.csv\n"
      "  meshplan validate published validate/published/embedding.csv\n"
      "  meshplan validate published runs.csv --json --csv cases.csv --html report.html\n",
      "meshplan validate published");
  std::string table, csv, html;
  bool json = false;
  app.add_option(
      "CASES", table,
      "table of runs; columns as in validate/published/runs.csv or, of graph embeddings, "
      "embedding.csv");
  app.add_option("--csv", csv, "write one line a case");
  app.add_option("--html", html, "write a page with tables and a scatter, no network needed");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  if (table.empty())
    return fail({.kind = ErrorKind::usage,
                 .message = "CASES is missing",
                 .hint = "meshplan validate published CASES.csv; the bundled table is "
                         "validate/published/runs.csv"},
                json);
  MESHPLAN_CLI_TRY(const CsvTable read, CsvTable::open(table), json);
  if (graph::is_graph_table(read)) return published_graphs(read, csv, html, json);
  auto done = [&] {
    const Progress progress("predicting");
    return validate_published(table);
  }();
  MESHPLAN_CLI_TRY(const PublishedReport report, std::move(done), json);
  print(json ? published_json(report) : published_text(report));
  const auto write = [&](const std::string& path, const std::string& text) {
    return path.empty() ? Status(Done{}) : write_file(path, text);
  };
  for (const Status& status : {write(csv, csv.empty() ? "" : published_csv(report)),
                               write(html, html.empty() ? "" : published_html(report))})
    if (!status.ok()) return fail(status.error(), json);
  if (!json) note(fmt::format("predicted in {}", report::seconds(report.seconds)));
  return 0;
}

}  // namespace

int run_validate(const Arguments& arguments) {
  const std::vector<std::string> kinds = {"published", "refit", "run", "time"};
  const std::string kind = arguments.empty() ? "" : arguments.front();
  if (kind == "published") return run_published({arguments.begin() + 1, arguments.end()});
  if (kind == "refit") return run_validate_refit({arguments.begin() + 1, arguments.end()});
  if (kind == "run" && arguments.size() > 1 && graph::is_workload_file(arguments[1]))
    return run_validate_graph({arguments.begin() + 1, arguments.end()});
  if (kind == "run") return run_validate_run({arguments.begin() + 1, arguments.end()});
  if (kind == "time") return run_validate_time({arguments.begin() + 1, arguments.end()});
  if (kind == "--help" || kind == "-h") {
    print(std::string(
        "Does it hold in reality?\n\n  meshplan validate published CASES.csv   "
        "predictions against published runs\n"
        "  meshplan validate refit CASES.csv       fit the global constants again\n"
        "  meshplan validate run PLAN              train the plan here, compare what is "
        "counted\n"
        "  meshplan validate time PROFILE          predicted against measured step times "
        "here\n"));
    return 0;
  }
  return fail({.kind = ErrorKind::usage,
               .message = kind.empty() ? "validate what?" : "there is no such validation",
               .where = "meshplan validate",
               .value = kind,
               .hint = suggest(kind, kinds)},
              wants_json(arguments));
}

}  // namespace meshplan::cli
