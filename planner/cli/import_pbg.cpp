// SPDX-License-Identifier: Apache-2.0
// meshplan import pbg: PyTorch-BigGraph's configuration as a graph workload.
#include <fmt/format.h>

#include "planner/cli/parse.hpp"
#include "strategies/embedding/pbg/config.hpp"
#include "topologies/base/files.hpp"

namespace meshplan::cli {

int run_import_pbg(const Arguments& arguments) {
  CLI::App app(
      "Reads a configuration of PyTorch-BigGraph, without running it, as a graph workload that "
      "plan\n"
      "and validate run take. What could not be read is said; edges are given by --train.\n\n"
      "  meshplan import pbg config.py --train edges.tsv -o graph.yaml\n",
      "meshplan import pbg");
  std::string file, out;
  std::vector<std::string> train;
  int64_t edges = 0;
  bool json = false;
  app.add_option("CONFIG", file, "Python file with get_torchbiggraph_config()")->required();
  app.add_option("--train", train, "TSV files with the edges, in place of PBG's own files");
  app.add_option("--edges", edges, "their number, where they are not at hand")
      ->check(CLI::PositiveNumber);
  app.add_option("-o,--out", out, "file to write; else standard output");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(graph::PbgConfig config, graph::read_pbg_config(file), json);
  config.workload.data.train = train;
  config.workload.edges = edges;
  for (const std::string& line : config.unread) warn(fmt::format("{}: not read: {}", file, line));
  for (const std::string& line : config.notes) note(line);
  const std::string text = graph::to_yaml(config.workload);
  if (!out.empty()) {
    const Status status = write_file(out, text);
    if (!status.ok()) return fail(status.error(), json);
  }
  if (json)
    print(Json{{"schema", "meshplan.import/1"},
               {"inputs", {{"file", file}, {"trainer", "pbg"}}},
               {"provenance", {{"tool", "meshplan"}, {"version", MESHPLAN_VERSION}}},
               {"plan", graph::brief(config.plan)},
               {"workload_file", text},
               {"not_read", config.unread},
               {"notes", config.notes}});
  else if (out.empty())
    print(text);
  else
    print(fmt::format("{}: {}\n", out, graph::brief(config.plan)));
  return 0;
}

}  // namespace meshplan::cli
