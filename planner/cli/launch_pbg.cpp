// SPDX-License-Identifier: Apache-2.0
// meshplan launch pbg: a graph workload and its plan as PyTorch-BigGraph's configuration.
#include <fmt/format.h>

#include "planner/cli/folder.hpp"
#include "planner/cli/parse.hpp"
#include "strategies/embedding/pbg/write.hpp"

namespace meshplan::cli {
namespace {

std::string readme(const std::string& name, const graph::GraphPlan& plan,
                   const graph::PbgFiles& files) {
  std::string out = fmt::format(
      "# {} with PyTorch-BigGraph\n\nPlan: `{}`.\n\n"
      "Needed: torchbiggraph 1.0 on {} with {} cores, the edges as its own files in `data/` "
      "(`torchbiggraph_import_from_tsv`, with as many partitions as `config.py` says).\n\n"
      "Start: `./train.sh{}`. `torchbiggraph_config config.py` checks the file.\n\n## Not said\n\n",
      name, graph::brief(plan),
      plan.ranks > 1 ? fmt::format("{} machines", plan.ranks) : std::string("a machine"),
      plan.threads, plan.ranks > 1 ? " NUMBER" : "");
  if (files.losses.empty()) out += "Nothing: the file says the whole plan.\n";
  for (const auto& loss : files.losses)
    out += fmt::format("* {}: {} in the plan, {} by PBG\n", loss.what, loss.wanted, loss.written);
  return out;
}

}  // namespace

int run_launch_pbg(const Arguments& arguments) {
  CLI::App app(
      "Writes what PyTorch-BigGraph needs to train a graph workload by a plan: its configuration,\n"
      "a script, a README. Degrees are those that meshplan plan GRAPH.yaml CLUSTER answers.\n\n"
      "  meshplan launch pbg graph.yaml --partitions 16 --ranks 8 --threads 40 -o run\n",
      "meshplan launch pbg");
  std::string file, folder, order = "inside_out";
  graph::GraphPlan plan;
  bool force = false, json = false, storage = false;
  app.add_option("GRAPH", file, "graph workload file")->required();
  app.add_option("--partitions", plan.partitions, "of every entity type (1)")
      ->check(CLI::PositiveNumber);
  app.add_option("--ranks", plan.ranks, "machines (1)")->check(CLI::PositiveNumber);
  app.add_option("--threads", plan.threads, "of a machine (1)")->check(CLI::PositiveNumber);
  app.add_option("--order", order, "of the buckets: inside_out (default) or affinity");
  app.add_flag("--shared-disk", storage, "machines hand partitions over by a disk that all see");
  app.add_option("-o,--out", folder, "folder to write")->required();
  app.add_flag("--force", force, "replace files in a folder that exists");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(const graph::Workload workload, graph::read_workload(file), json);
  MESHPLAN_CLI_TRY(plan.order, graph::order_from(order, "--order"), json);
  if (plan.ranks > 1) plan.order = graph::Order::halving;  // no two machines share a partition
  plan.resident = std::min(2, plan.partitions);
  plan.home = storage || (plan.ranks == 1 && plan.partitions > 1) ? graph::Home::storage
                                                                  : graph::Home::memory;
  MESHPLAN_CLI_TRY(const graph::PbgFiles files, graph::write_pbg(workload, plan), json);
  const Status status = write_folder(folder,
                                     {{"README.md", readme(workload.name, plan, files), false},
                                      {"config.py", files.config, false},
                                      {"train.sh", files.start, true}},
                                     force);
  if (!status.ok()) return fail(status.error(), json);
  if (json) {
    Json losses = Json::array();
    for (const auto& loss : files.losses)
      losses.push_back({{"knob", loss.what}, {"plan", loss.wanted}, {"written", loss.written}});
    print(Json{{"schema", "meshplan.launch/1"},
               {"inputs", {{"plan", file}, {"trainer", "pbg"}}},
               {"provenance", {{"tool", "meshplan"}, {"version", MESHPLAN_VERSION}}},
               {"folder", folder},
               {"files", {"README.md", "config.py", "train.sh"}},
               {"not_said", std::move(losses)}});
    return 0;
  }
  std::string text = fmt::format("{}: pbg 1.0, {}\n  README.md\n  config.py\n  train.sh\n", folder,
                                 graph::brief(plan));
  for (const auto& loss : files.losses)
    text += fmt::format("not said    {}: {} in the plan, {} by the trainer\n", loss.what,
                        loss.wanted, loss.written);
  print(text);
  return 0;
}

}  // namespace meshplan::cli
