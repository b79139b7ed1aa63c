// SPDX-License-Identifier: Apache-2.0
// meshplan plan GRAPH.yaml CLUSTER: which plan trains this graph fastest there?
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "planner/cli/outputs.hpp"
#include "planner/cli/plan_flags.hpp"
#include "planner/cli/progress.hpp"
#include "planner/graph/render.hpp"
#include "planner/report/format.hpp"
#include "strategies/embedding/plan_file.hpp"
#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "validate/embedding/import.hpp"

namespace meshplan::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  std::string workload, cluster, partitions, resident, ranks, order, home, precision = "fp32", gpus,
                                                                           save;
  double storage_gb_per_s = 0, usd_per_gpu_hour = -1;
  int64_t threads = 0;
  int top = 5;
  bool no_bounds = false, json = false;
};

void add_flags(CLI::App& app, Flags& f) {
  app.add_option("GRAPH", f.workload, "graph workload file")->required();
  app.add_option("CLUSTER", f.cluster,
                 "bundled name, path, NODESxGPUS_PER_NODExGPU, GPUSxGPU, or the CPU profile of a "
                 "computer (meshplan profile)")
      ->required();
  const char* axes = "Constraints (8, 1..16 or 1,2,4; left open if not given)";
  const auto text = [&](const char* name, std::string& to, const char* about) {
    app.add_option(name, to, about)->group(axes);
  };
  text("--partitions", f.partitions, "of every entity type");
  text("--resident", f.resident, "partitions on a device at a time");
  text("--ranks", f.ranks, "devices with partitions of their own");
  text("--order", f.order, "of the buckets: inside_out, affinity, beta, cover, halving");
  text("--home", f.home, "where other rows wait: memory, host, storage");
  text("--precision", f.precision, "operands of the products: fp32 (default), tf32, bf16; a list");
  const char* machine = "Machine";
  app.add_option("--gpus", f.gpus, "take this many GPUs of the cluster")->group(machine);
  app.add_option("--storage-gb-per-s", f.storage_gb_per_s, "of one machine's disks (3)")
      ->group(machine)
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", f.threads, "of a computer; else all cores")->group(machine);
  app.add_option("--usd-per-gpu-hour", f.usd_per_gpu_hour, "what a GPU costs (2)")
      ->group(machine)
      ->check(CLI::NonNegativeNumber);
  app.add_option("--top", f.top, "plans to show (5)")->group("Search")->check(CLI::PositiveNumber);
  app.add_flag("--no-bounds", f.no_bounds, "price every plan that fits")->group("Search");
  app.add_option("--save", f.save, "write the best plan with its workload, for validate run")
      ->group("Output");
  app.add_flag("--json", f.json, "one JSON document on standard output")->group("Output");
}

template <class Value, class From>
Status list_from(const std::string& text, From from, std::vector<Value>& out) {
  for (size_t at = 0; at < text.size();) {
    const size_t stop = std::min(text.find(',', at), text.size());
    MESHPLAN_TRY(Value value, from(text.substr(at, stop - at)));
    out.push_back(value);
    at = stop + 1;
  }
  return Done{};
}

template <class Value>
auto named(const char* flag, std::vector<Value> all) {
  return [flag, all = std::move(all)](const std::string& text) -> Result<Value> {
    std::vector<std::string> names;
    for (const Value value : all) {
      if (text == name_of(value)) return value;
      names.emplace_back(name_of(value));
    }
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "there is no such choice",
                      .where = flag,
                      .value = text,
                      .hint = suggest(text, names)};
  };
}

Status read_axes(const Flags& f, graph::GraphQuestion& q) {
  const auto range = [](const std::string& text, const char* flag, AxisRange& to) -> Status {
    if (text.empty()) return Done{};
    MESHPLAN_TRY(to, range_from(text, flag, 1));
    return Done{};
  };
  MESHPLAN_CHECK(range(f.partitions, "--partitions", q.partitions));
  MESHPLAN_CHECK(range(f.resident, "--resident", q.resident));
  MESHPLAN_CHECK(range(f.ranks, "--ranks", q.ranks));
  MESHPLAN_CHECK(list_from(
      f.order, [](const std::string& text) { return graph::order_from(text, "--order"); },
      q.orders));
  using graph::Home;
  MESHPLAN_CHECK(
      list_from(f.home, named<Home>("--home", {Home::memory, Home::host, Home::storage}), q.homes));
  q.compute.clear();
  return list_from(f.precision,
                   named<DType>("--precision", {DType::fp32, DType::tf32, DType::bf16}), q.compute);
}

/// Counts that the file leaves out are taken from its edges.
Status count_edges(graph::Workload& w) {
  bool known = w.edges > 0 && (!w.dynamic_relations || w.dynamic_count > 0);
  for (const graph::EntityType& type : w.entities) known = known && type.count > 0;
  if (known) return Done{};
  if (w.data.train.empty())
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "the size of the graph is not stated",
                      .where = w.name,
                      .hint = "count of every entity type, edges, dynamic_relation_count; or data"};
  MESHPLAN_TRY(const graph::Graph read, graph::import_graph(w, {1, 1}));
  w = graph::with_counts(w, read);
  return Done{};
}

}  // namespace

int run_plan_graph(const Arguments& arguments) {
  CLI::App app(
      "The best plans of a graph workload on a machine, why, and how they were found.\n\n"
      "  meshplan plan graph.yaml 1xH200\n"
      "  meshplan plan graph.yaml 4x1xV100 --storage-gb-per-s 0.4 --precision fp32,tf32\n"
      "  meshplan profile --device cpu --out cpu.yaml && meshplan plan graph.yaml cpu.yaml --save "
      "plan.yaml\n",
      "meshplan plan");
  Flags f;
  add_flags(app, f);
  MESHPLAN_CLI_PARSE(app, arguments);
  graph::GraphQuestion q;
  MESHPLAN_CLI_TRY(q.workload, graph::read_workload(f.workload), f.json);
  if (const Status status = read_axes(f, q); !status.ok()) return fail(status.error(), f.json);
  if (const Status status = count_edges(q.workload); !status.ok())
    return fail(status.error(), f.json);
  q.top_k = f.top;
  q.bounds = !f.no_bounds;
  double usd = 0;
  std::vector<std::string> assumed;
  if (is_cpu_profile(f.cluster)) {
    MESHPLAN_CLI_TRY(const CpuProfile profile, read_cpu_profile(f.cluster), f.json);
    MESHPLAN_CLI_TRY(q.machine, graph::machine_of(profile), f.json);
    if (std::find(q.compute.begin(), q.compute.end(), DType::tf32) != q.compute.end())
      return fail({.kind = ErrorKind::usage,
                   .message = "CPUs train in no such precision",
                   .where = "--precision",
                   .value = f.precision,
                   .hint = "fp32 or bf16"},
                  f.json);
    q.threads = static_cast<int>(f.threads > 0 ? f.threads : profile.cores);
  } else {
    MESHPLAN_CLI_TRY(Cluster cluster, find_cluster(f.cluster), f.json);
    if (!f.gpus.empty()) {
      MESHPLAN_CLI_TRY(const int64_t gpus, whole_number(f.gpus, "--gpus"), f.json);
      MESHPLAN_CLI_TRY(cluster, with_gpus(cluster, gpus), f.json);
    }
    MESHPLAN_CLI_TRY(const graph::GraphAssumptions defaults, graph::load_graph_assumptions(),
                     f.json);
    MESHPLAN_CLI_TRY(const Prices prices, load_prices(), f.json);
    if (f.storage_gb_per_s <= 0) assumed = defaults.source;
    MESHPLAN_CLI_TRY(
        q.machine,
        graph::machine_of(cluster, f.storage_gb_per_s > 0 ? f.storage_gb_per_s * 1e9
                                                          : defaults.storage_bytes_per_s),
        f.json);
    usd = f.usd_per_gpu_hour >= 0 ? f.usd_per_gpu_hour : prices.usd_per_gpu_hour;
    if (f.usd_per_gpu_hour < 0) assumed.push_back(prices.source.front());
  }
  assumed.insert(assumed.end(), q.machine.assumed.begin(), q.machine.assumed.end());
  const auto start = Clock::now();
  auto found = [&] {
    const Progress progress("searching");
    return graph::search(q);
  }();
  MESHPLAN_CLI_TRY(const graph::GraphAnswer answer, std::move(found), f.json);
  const graph::GraphReport report{q, answer, usd, assumed,
                                  std::chrono::duration<double>(Clock::now() - start).count()};
  if (f.json)
    print(graph::to_json(report));
  else
    print(graph::to_text(report));
  if (!answer.plans.empty()) {
    const Status saved =
        f.save.empty()
            ? Status(Done{})
            : write_file(f.save,
                         graph::to_yaml({q.workload, answer.plans.front().plan, f.cluster}));
    return saved.ok() ? 0 : fail(saved.error(), f.json);
  }
  complain_briefly(answer.none->plan ? "no plan fits" : "no plan is legal", "");
  return static_cast<int>(ErrorKind::no_plan);
}

}  // namespace meshplan::cli
