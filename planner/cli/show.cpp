// SPDX-License-Identifier: Apache-2.0
// meshplan show: everything that is known of one model, GPU, cluster, trainer, schedule or rule.
#include <fmt/format.h>

#include <algorithm>

#include "planner/cli/parse.hpp"
#include "planner/report/collective_rates.hpp"
#include "planner/report/facts.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan::cli {
namespace {

using namespace report;

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// A YAML file of ours says by its keys what it is.
Result<Sheet> show_file(const std::string& path) {
  MESHPLAN_TRY(MapReader file, MapReader::open(path));
  if (file.has("config")) {
    MESHPLAN_TRY(Model model, find_model(path));
    return facts_of(model);
  }
  if (file.has("sm_count")) {
    MESHPLAN_TRY(Gpu gpu, read_gpu(path));
    return facts_of(gpu);
  }
  if (file.has("rank_order") || file.has("kernels")) {
    MESHPLAN_TRY(Trainer trainer, read_trainer(path));
    return facts_of(trainer);
  }
  MESHPLAN_TRY(Cluster cluster, read_cluster(path));
  return facts_of(cluster);
}

/// Keeps the sheet, or the error when it is about more than the name.
template <class T>
bool take(Result<T> found, std::optional<Result<Sheet>>& out) {
  if (found.ok())
    out.emplace(facts_of(found.value()));
  else if (found.error().kind != ErrorKind::usage)
    out.emplace(found.error());
  return out.has_value();
}

Result<Sheet> show(const std::string& name) {
  if (ends_with(name, ".yaml") || ends_with(name, ".yml")) return show_file(name);
  std::optional<Result<Sheet>> out;
  if (take(find_model(name), out) || take(find_gpu(name), out) || take(find_cluster(name), out) ||
      take(find_trainer(name), out))
    return std::move(*out);
  MESHPLAN_TRY(const std::vector<Trainer> trainers, all_trainers());
  std::vector<std::string> known = model_names();
  MESHPLAN_TRY(const std::vector<Gpu> gpus, all_gpus());
  for (const Gpu& gpu : gpus) {
    known.push_back(gpu.id);
    known.insert(known.end(), gpu.aliases.begin(), gpu.aliases.end());
  }
  MESHPLAN_TRY(const std::vector<Cluster> clusters, all_clusters());
  for (const Cluster& cluster : clusters) known.push_back(cluster.id);
  for (const Trainer& trainer : trainers) known.push_back(trainer.id);
  for (int i = 0; i < kScheduleKinds; ++i) {
    const auto kind = static_cast<ScheduleKind>(i);
    if (name == meshplan::name_of(kind)) return facts_of(kind, trainers);
    known.emplace_back(meshplan::name_of(kind));
  }
  for (int i = 1; i < kRules; ++i) {
    const auto rule = static_cast<RuleId>(i);
    if (name == meshplan::name_of(rule)) return facts_of(rule, trainers);
    known.emplace_back(meshplan::name_of(rule));
  }
  const std::string near = nearest(name, known);
  return Diagnostic{.kind = ErrorKind::usage,
                    .message = "nothing of that name is known",
                    .where = "meshplan show",
                    .value = name,
                    .hint = near.empty() ? "meshplan list models, gpus, clusters, trainers, "
                                           "schedules or rules"
                                         : fmt::format("did you mean '{}'?", near)};
}

/// Times of collectives over the whole cluster.
int show_collectives(const std::string& name, const std::string& gpus, bool json) {
  MESHPLAN_CLI_TRY(Cluster cluster, find_cluster(name), json);
  if (!gpus.empty()) {
    MESHPLAN_CLI_TRY(const int64_t n, whole_number(gpus, "--gpus"), json);
    MESHPLAN_CLI_TRY(cluster, with_gpus(std::move(cluster), n), json);
  }
  MESHPLAN_CLI_TRY(const CollectiveRates rates, collective_rates(cluster), json);
  if (!json) {
    print(to_text(rates));
    return 0;
  }
  print(Json{{"schema", "meshplan.show/1"},
             {"inputs", {{"name", name}, {"gpus", cluster.gpus()}}},
             {"provenance",
              {{"tool", "meshplan"},
               {"version", MESHPLAN_VERSION},
               {"source", cluster.source},
               {"assumptions", cluster.assumed}}},
             {"kind", "collectives"},
             {"collectives", to_json(rates)}});
  return 0;
}

}  // namespace

int run_show(const Arguments& arguments) {
  CLI::App app(
      "All facts of one thing, with units and sources.\n\n"
      "  meshplan show llama3-405b\n  meshplan show H100\n  meshplan show llama3-roce\n"
      "  meshplan show 64x8xH100\n  meshplan show path/to/config.json\n"
      "  meshplan show H100 --collectives --gpus 512",
      "meshplan show");
  std::string name, gpus;
  bool json = false, collectives = false;
  app.add_option("NAME", name,
                 "a model (name, path or size), GPU, cluster, trainer, schedule or rule");
  app.add_flag("--collectives", collectives,
               "of a cluster: time and bus bandwidth of its collectives by size");
  app.add_option("--gpus", gpus, "with --collectives: of so many GPUs");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  if (name.empty())
    return fail({.kind = ErrorKind::usage,
                 .message = "show what?",
                 .where = "meshplan show",
                 .hint = "meshplan show NAME, e.g. meshplan show llama3-405b"},
                json);
  if (collectives) return show_collectives(name, gpus, json);
  MESHPLAN_CLI_TRY(const Sheet sheet, show(name), json);
  if (!json) {
    print(to_text(sheet));
    return 0;
  }
  Json document = {{"schema", "meshplan.show/1"},
                   {"inputs", {{"name", name}}},
                   {"provenance",
                    {{"tool", "meshplan"},
                     {"version", MESHPLAN_VERSION},
                     {"source", sheet.source},
                     {"assumptions", sheet.assumed}}}};
  document.update(to_json(sheet));
  print(document);
  return 0;
}

}  // namespace meshplan::cli
