// SPDX-License-Identifier: Apache-2.0
// meshplan validate refit: the global constants fitted again on published runs, with
// leave-one-source-out errors, and the error bands learnt from what is left.
#include <fmt/format.h>

#include "planner/cli/parse.hpp"
#include "planner/cli/progress.hpp"
#include "planner/report/format.hpp"
#include "topologies/base/files.hpp"
#include "validate/published/graph/refit.hpp"
#include "validate/published/graph/row.hpp"

namespace meshplan::cli {
namespace {

std::string folder() { return data_root() + "/costmodel/data/"; }

/// The bands that belong to the constants as they stand.
Status write_bands(const std::string& table) {
  MESHPLAN_TRY(const PublishedReport report, validate_published(table));
  MESHPLAN_TRY(const EstimateBands bands, bands_of(report));
  return write_file(folder() + "error_bands.yaml", to_yaml(bands));
}

Status write_fit(Constants fitted, const std::string& table) {
  fitted.fitted_on = "validate/published/runs.csv";
  MESHPLAN_CHECK(write_file(folder() + "constants.yaml", constants_yaml(fitted)));
  return write_bands(table);
}

int refit_graph_table(const CsvTable& table, const RefitOptions& options, bool writes) {
  if (writes)
    return fail({.kind = ErrorKind::usage,
                 .message = "constants of graph systems are not written",
                 .where = "--write, --bands",
                 .hint = "validate/published/graph/systems.yaml holds them"},
                false);
  MESHPLAN_CLI_TRY(const graph::GraphRefit fit, graph::refit_graphs(table, options), false);
  print(graph::refit_text(fit));
  return 0;
}

constexpr int kSteps = 64, kGraphSteps = 1024;  // the latter's rows are priced in microseconds

}  // namespace

int run_validate_refit(const Arguments& arguments) {
  CLI::App app(
      "Fits the global constants of costmodel/data/constants.yaml on a table of published runs, or "
      "on one\nof graph embeddings those of validate/published/graph/systems.yaml; errors with "
      "each source left out.\n\n"
      "  meshplan validate refit validate/published/runs.csv\n"
      "  meshplan validate refit validate/published/runs.csv --write\n"
      "  meshplan validate refit validate/published/runs.csv --bands\n"
      "  meshplan validate refit validate/published/embedding.csv\n",
      "meshplan validate refit");
  std::string table;
  RefitOptions options;
  bool write = false, bands = false, no_left_out = false;
  app.add_option("CASES", table, "table of runs; columns as in validate/published/runs.csv")
      ->required();
  options.steps = 0;
  app.add_option("--steps", options.steps,
                 "grid points per constant, a power of two (64; of graphs 1024)");
  app.add_flag("--no-leave-one-out", no_left_out, "fit once, on all sources");
  app.add_flag("--write", write, "replace constants.yaml, and learn error_bands.yaml again");
  app.add_flag("--bands", bands, "keep constants.yaml, only learn error_bands.yaml again");
  MESHPLAN_CLI_PARSE(app, arguments);
  options.leave_one_out = !no_left_out;
  MESHPLAN_CLI_TRY(const CsvTable read, CsvTable::open(table), false);
  const bool graphs = graph::is_graph_table(read);
  if (options.steps == 0) options.steps = graphs ? kGraphSteps : kSteps;
  if (graphs) return refit_graph_table(read, options, write || bands);
  if (bands) {
    const Status status = write_bands(table);
    return status.ok() ? 0 : fail(status.error(), false);
  }
  MESHPLAN_CLI_TRY(Constants constants, load_constants(), false);
  for (const FitRows rows : {FitRows::gold, FitRows::other_libraries}) {
    auto done = [&] {
      Progress progress("fitting");
      options.progress = [&](const std::string& line) { progress.say(line); };
      return refit_published(table, constants, rows, options);
    }();
    MESHPLAN_CLI_TRY(const RefitReport fit, std::move(done), false);
    print(std::string(rows == FitRows::gold
                          ? "gold rows\n"
                          : "\nsilver rows of GPUs whose maker's libraries were not measured\n"));
    print(refit_text(fit));
    constants = constants_of(fit, std::move(constants));
  }
  if (write) {
    if (const Status status = write_fit(std::move(constants), table); !status.ok())
      return fail(status.error(), false);
  }
  return 0;
}

}  // namespace meshplan::cli
