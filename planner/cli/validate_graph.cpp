// SPDX-License-Identifier: Apache-2.0
// meshplan validate run GRAPH.yaml: train an embedding workload on this computer's CPU.
#include <fmt/format.h>

#include <cmath>

#include "costmodel/graph/epoch.hpp"
#include "planner/cli/parse.hpp"
#include "planner/report/format.hpp"
#include "planner/report/table.hpp"
#include "profiler/comm/gpu_world.hpp"
#include "profiler/cuda/gpu.hpp"
#include "profiler/cuda/graph.hpp"
#include "strategies/embedding/plan_file.hpp"
#include "topologies/cluster/cluster.hpp"
#include "validate/embedding/run.hpp"

namespace meshplan::cli {
namespace {

using report::Align;

struct GraphFlags {
  std::string workload, order, ties = "realistic", on = "test", folder, tsv, npy, pbg, start,
                               entities, profile, device, cluster;
  int64_t partitions = 0, resident = 0, ranks = 0, threads = 0, epochs = -1, seed = 1,
          candidates = 0, save_every = 1, evaluate_every = 0;
  std::string precision;
  double timeout_s = 60;
  bool deterministic = false, no_prefetch = false, resume = false, json = false;
  bool processes = false;  ///< this process is one rank
};

void add_flags(CLI::App& app, GraphFlags& f) {
  const auto add = [&](const char* name, auto& to, const char* about) {
    return app.add_option(name, to, about);
  };
  add("GRAPH", f.workload, "graph workload file, or a plan of one (meshplan plan --save)")
      ->required();
  add("--partitions", f.partitions, "of every entity type; else the plan's, or 1")
      ->check(CLI::PositiveNumber);
  add("--resident", f.resident, "partitions that a rank trains on at a time; else all, or 2");
  add("--order", f.order, "of the buckets: inside_out, affinity, beta, cover, halving");
  add("--ranks", f.ranks, "with partitions of their own; order halving or cover")
      ->check(CLI::PositiveNumber);
  add("--threads", f.threads, "of each rank; else the plan's, or 1")->check(CLI::PositiveNumber);
  app.add_flag("--deterministic", f.deterministic,
               "threads share batches: the same bytes with any number of them");
  add("--timeout", f.timeout_s, "seconds to wait for a rank (60)")->check(CLI::PositiveNumber);
  app.add_flag("--no-prefetch", f.no_prefetch, "partitions move only between buckets");
  add("--precision", f.precision,
      "operands of the scores' products, fp32 or bf16; else the plan's, or fp32");
  add("--device", f.device, "cpu or cuda (cpu)")->check(CLI::IsMember({"cpu", "cuda"}));
  add("--epochs", f.epochs, "instead of the workload's");
  add("--seed", f.seed, "of everything that is drawn (1)");
  add("--checkpoints", f.folder, "folder of partitions and checkpoints; else a temporary one");
  add("--save-every", f.save_every, "passes between checkpoints of what stays in memory (1)");
  app.add_flag("--resume", f.resume, "go on from the newest complete checkpoint there")
      ->needs("--checkpoints");
  add("--evaluate", f.on, "on these edges: test (default), valid, none");
  add("--evaluate-every", f.evaluate_every, "epochs; else after the last one");
  add("--candidates", f.candidates, "entities drawn for the ranking; 0: all (default)");
  CLI::Option* profile = add("--profile", f.profile,
                             "CPU profile (meshplan profile): predict the time of a pass as well");
  add("--cluster", f.cluster, "the same for GPUs: 1xH200, or a cluster's name or file")
      ->excludes(profile);
  add("--export-tsv", f.tsv, "folder for entities.tsv and relations.tsv");
  add("--export-npy", f.npy, "folder for NumPy arrays and their names");
  add("--export-pbg", f.pbg, "folder for a checkpoint of PyTorch-BigGraph, its entities beside it");
  add("--start-pbg", f.start,
      "PyTorch-BigGraph's checkpoint_path: rows and operators to begin with");
  add("--pbg-entities", f.entities, "its entity_path; else ../data/entities beside --start-pbg")
      ->needs("--start-pbg");
  add("--ties", f.ties, "realistic (default), pessimistic (PBG's), optimistic");
  app.add_flag("--json", f.json, "one JSON document on standard output");
}

/// The plan of the file, with what the flags say otherwise; as many ranks as processes.
Result<graph::GraphPlan> plan_from(GraphFlags f, const graph::PlannedWorkload& planned) {
  if (f.processes && f.ranks == 0 && !planned.plan) f.ranks = launched_rank().size;
  graph::GraphPlan plan = planned.plan.value_or(graph::GraphPlan{.order = graph::Order::beta});
  if (!f.order.empty()) {
    MESHPLAN_TRY(plan.order, graph::order_from(f.order, "--order"));
  }
  if (f.threads > 0) plan.threads = static_cast<int>(f.threads);
  if (f.no_prefetch) plan.prefetch = false;
  if (f.partitions + f.resident + f.ranks == 0) return plan;
  if (f.ranks > 0) plan.ranks = static_cast<int>(f.ranks);
  if (f.partitions > 0) plan.partitions = static_cast<int>(f.partitions);
  plan.resident = static_cast<int>(f.resident > 0   ? f.resident
                                   : plan.ranks > 1 ? 2
                                                    : plan.partitions);
  const bool moves = plan.ranks > 1 || plan.resident < plan.partitions;
  plan.home = moves ? graph::Home::storage : graph::Home::memory;
  return plan;
}

Result<graph::RunOptions> options_from(const GraphFlags& f, const graph::PlannedWorkload& planned) {
  graph::RunOptions o;
  o.processes = f.processes;
  MESHPLAN_TRY(o.plan, plan_from(f, planned));
  MESHPLAN_TRY(o.evaluate.ties, graph::ties_from(f.ties, "--ties"));
  if (f.on != "test" && f.on != "valid" && f.on != "none")
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "there are no such edges",
                      .where = "--evaluate",
                      .value = f.on,
                      .hint = "test, valid or none"};
  if (!f.precision.empty() && f.precision != "fp32" && f.precision != "bf16")
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "graphs are trained in no such precision",
                      .where = "--precision",
                      .value = f.precision,
                      .hint = "fp32 or bf16"};
  if (!f.precision.empty()) o.plan.compute = f.precision == "bf16" ? DType::bf16 : DType::fp32;
  const bool cuda = f.device == "cuda";
  if (cuda)
    o.device = {[]() -> Status {
                  const auto gpus = cuda::gpus();
                  return gpus.ok() ? Status(Done{}) : Status(gpus.error());
                },
                cuda::make_graph_device};
  if (cuda ? !f.profile.empty() : !f.cluster.empty())
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "predicts another device than the one that trains",
                      .where = cuda ? "--profile" : "--cluster",
                      .hint = cuda ? "--cluster" : "--profile"};
  o.threads = {o.plan.threads, f.deterministic};
  o.seed = static_cast<uint64_t>(f.seed);
  o.folder = f.folder;
  o.export_tsv = f.tsv;
  o.export_npy = f.npy;
  o.export_pbg = f.pbg;
  if (!f.start.empty())
    o.start_pbg = {f.entities.empty() ? f.start + "/../data/entities" : f.entities, f.start};
  o.world.timeout_s = f.timeout_s;
  o.save_every = f.save_every;
  o.resume = f.resume;
  o.evaluate_on = f.on;
  o.evaluate_every = f.evaluate_every;
  o.evaluate.candidates = f.candidates;
  o.evaluate.threads = o.plan.threads;
  return o;
}

Json ranking_json(const graph::Ranking& r) {
  return {{"queries", r.queries}, {"mrr", r.mrr},           {"hits_at_1", r.hits1},
          {"hits_at_3", r.hits3}, {"hits_at_10", r.hits10}, {"mean_rank", r.mean_rank},
          {"auc", r.auc}};
}

Json traffic_json(const graph::Traffic& t) {
  return {{"partition_loads", t.loads},
          {"loaded_bytes", t.loaded_bytes},
          {"partition_stores", t.stores},
          {"stored_bytes", t.stored_bytes},
          {"partitions_sent", t.sends},
          {"sent_bytes", t.sent_bytes},
          {"synchronised_bytes", t.synchronised_bytes}};
}

Result<graph::GraphMachine> machine_from(const GraphFlags& f) {
  if (f.cluster.empty()) {
    MESHPLAN_TRY(const CpuProfile profile, read_cpu_profile(f.profile));
    return graph::machine_of(profile);
  }
  MESHPLAN_TRY(const Cluster cluster, find_cluster(f.cluster));
  MESHPLAN_TRY(const graph::GraphAssumptions assumed, graph::load_graph_assumptions());
  return graph::machine_of(cluster, assumed.storage_bytes_per_s);
}

/// Seconds of a pass, predicted from the times of the kernels, and the shortest one measured: other
/// work on the computer only ever adds to it.
struct PassTimes {
  double predicted_s = 0, measured_s = 0;
  std::vector<Part> parts;  ///< of the prediction
};
Result<std::optional<PassTimes>> pass_times(const graph::RunAnswer& a, const GraphFlags& f) {
  if ((f.profile.empty() && f.cluster.empty()) || a.passes.empty())
    return std::optional<PassTimes>();
  MESHPLAN_TRY(const graph::GraphMachine machine, machine_from(f));
  graph::GraphPlan plan = a.plan;
  // Partitions come to a GPU and leave it between rounds.
  if (!a.device.empty()) plan.prefetch = false;
  MESHPLAN_TRY(graph::EpochEstimate epoch, graph::estimate_epoch(a.workload, plan, machine));
  PassTimes out;
  const auto passes = static_cast<double>(a.workload.passes_per_epoch);
  out.predicted_s = epoch.epoch_s / passes;
  out.parts = std::move(epoch.time);
  for (Part& part : out.parts) part.value /= passes;
  out.measured_s = a.passes.front().report.seconds;
  for (const graph::PassLine& line : a.passes)
    out.measured_s = std::min(out.measured_s, line.report.seconds);
  return std::optional<PassTimes>(out);
}

double error_of(double predicted, double measured) { return predicted / measured - 1; }

Json parts_json(const std::vector<Part>& parts) {
  Json out = Json::object();
  for (const Part& part : parts) out[part.name] = part.value;
  return out;
}

Json to_document(const graph::RunAnswer& a, const std::optional<PassTimes>& times,
                 const GraphFlags& f) {
  Json passes = Json::array();
  for (const graph::PassLine& line : a.passes) {
    const graph::PassReport& r = line.report;
    passes.push_back({{"pass", line.version},
                      {"edges", r.edges},
                      {"loss_per_edge", r.edges > 0 ? r.loss / static_cast<double>(r.edges) : 0},
                      {"seconds", r.seconds},
                      {"train_s", r.train_s},
                      {"wait_s", r.wait_s},
                      {"traffic", traffic_json(r.traffic)}});
  }
  Json out = {{"schema", "meshplan.graph-run/1"}, {"workload", a.workload.name},
              {"plan", graph::brief(a.plan)},     {"entities", a.workload.entity_rows()},
              {"edges", a.workload.edges},        {"imported_edges", a.imported_edges},
              {"import_s", a.import_s},           {"resumed_at", a.resumed_at},
              {"passes", std::move(passes)},      {"expected_traffic", traffic_json(a.expected)},
              {"traffic_equal", a.traffic_equal}, {"expected_table_bytes", a.expected_table_bytes},
              {"table_bytes", a.table_bytes},     {"resident_bytes", a.resident_bytes}};
  if (a.taken_over)
    out["taken_over"] = {{"version", a.taken_over->version},
                         {"rows", a.taken_over->rows},
                         {"rows_unknown", a.taken_over->unknown},
                         {"rows_missing", a.taken_over->missing},
                         {"relations", a.taken_over->relations}};
  if (times)
    out["pass_time"] = {{"predicted_s", times->predicted_s},
                        {"measured_s", times->measured_s},
                        {"error", error_of(times->predicted_s, times->measured_s)},
                        {"predicted_parts_s", parts_json(times->parts)}};
  out["memory"] = {{"predicted_bytes", a.expected_bytes()},
                   {"predicted_parts_bytes", parts_json(a.memory)},
                   {"measured_bytes", a.peak_bytes > 0 ? Json(a.peak_bytes) : Json()}};
  if (!a.device.empty())
    out["device"] = {{"name", a.device},
                     {"predicted_bytes", a.expected_device_bytes},
                     {"allocated_bytes", a.device_bytes}};
  if (a.evaluation)
    out["evaluation"] = {{"ties", f.ties},
                         {"candidates", f.candidates},
                         {"edges", f.on},
                         {"seconds", a.evaluate_s},
                         {"filtered", ranking_json(a.evaluation->filtered)},
                         {"raw", ranking_json(a.evaluation->raw)}};
  return out;
}

std::string to_text(const graph::RunAnswer& a, const std::optional<PassTimes>& times,
                    const GraphFlags& f) {
  std::string out = fmt::format("{}: {} rows of {} values, {} edges, {} relations; {}\n\n",
                                a.workload.name, report::grouped(a.workload.entity_rows()),
                                a.workload.dimension, report::grouped(a.workload.edges),
                                report::grouped(a.workload.relation_count()), graph::brief(a.plan));
  if (a.taken_over)
    out += fmt::format(
        "  begins with version {} of a PBG checkpoint: {} rows by name, {} relations; {} rows of "
        "it\n"
        "  not in the graph, {} rows of the graph not in it; optimizer sums begin at zero\n\n",
        a.taken_over->version, report::grouped(a.taken_over->rows),
        report::grouped(a.taken_over->relations), report::grouped(a.taken_over->unknown),
        report::grouped(a.taken_over->missing));
  report::Table table({{"pass", Align::right},
                       {"loss an edge", Align::right},
                       {"time", Align::right},
                       {"waiting", Align::right},
                       {"edges/s", Align::right}});
  for (const graph::PassLine& line : a.passes) {
    const graph::PassReport& r = line.report;
    const auto edges = static_cast<double>(r.edges);
    table.add({fmt::format("{}", line.version),
               fmt::format("{:.4f}", r.loss / std::max(1.0, edges)), report::seconds(r.seconds),
               report::seconds(r.wait_s),
               report::grouped(static_cast<int64_t>(edges / std::max(1e-9, r.seconds)))});
  }
  out += table.text();
  const graph::Traffic& t = a.expected;
  out += fmt::format(
      "\n  a pass moves   {} partitions from storage ({}), {} back, {} between ranks ({}): {}\n",
      t.loads, report::gib(static_cast<double>(t.loaded_bytes)), t.stores, t.sends,
      report::gib(static_cast<double>(t.sent_bytes)),
      a.traffic_equal ? "as planned" : "DIFFERENT from the plan");
  out += fmt::format("  rows in memory {}, planned {}\n",
                     report::gib(static_cast<double>(a.table_bytes)),
                     report::gib(static_cast<double>(a.expected_table_bytes)));
  const auto predicted = static_cast<double>(a.expected_bytes()),
             peak = static_cast<double>(a.peak_bytes);
  if (a.peak_bytes > 0)
    out += fmt::format("  {} held {} at most while it trained, predicted {}: {:+.1f} %\n",
                       f.processes ? "the processes together" : "the process", report::gib(peak),
                       report::gib(predicted), 100 * error_of(predicted, peak));
  if (!a.device.empty())
    out += fmt::format("  {} allocated {} at most, predicted {}\n", a.device,
                       report::gib(static_cast<double>(a.device_bytes)),
                       report::gib(static_cast<double>(a.expected_device_bytes)));
  if (a.import_s > 0)
    out += fmt::format(
        "  import of {} edges in {}, {} edges/s\n", report::grouped(a.imported_edges),
        report::seconds(a.import_s),
        report::grouped(std::llround(static_cast<double>(a.imported_edges) / a.import_s)));
  if (times)
    out += fmt::format("  a pass takes {} at least, predicted {}: {:+.1f} %\n",
                       report::seconds(times->measured_s), report::seconds(times->predicted_s),
                       100 * error_of(times->predicted_s, times->measured_s));
  if (!a.evaluation) return out;
  report::Table ranks({{""},
                       {"MRR", Align::right},
                       {"Hits@1", Align::right},
                       {"Hits@3", Align::right},
                       {"Hits@10", Align::right},
                       {"mean rank", Align::right},
                       {"AUC", Align::right}});
  const auto row = [&](const char* name, const graph::Ranking& r) {
    ranks.add({name, fmt::format("{:.4f}", r.mrr), fmt::format("{:.4f}", r.hits1),
               fmt::format("{:.4f}", r.hits3), fmt::format("{:.4f}", r.hits10),
               fmt::format("{:.1f}", r.mean_rank), fmt::format("{:.4f}", r.auc)});
  };
  row("filtered", a.evaluation->filtered);
  row("raw", a.evaluation->raw);
  const std::string among = f.candidates > 0 ? fmt::format("{} entities drawn", f.candidates)
                                             : std::string("all entities");
  out += fmt::format("\n{}\n  both ends of {} edges of {}, among {}, {} ties\n", ranks.text(),
                     report::grouped(a.evaluation->filtered.queries / 2), f.on, among, f.ties);
  return out;
}

}  // namespace

namespace {

/// From the flags to the report, as all ranks in this process or as one of several.
int run_graph(GraphFlags& flags) {
  MESHPLAN_CLI_TRY(const graph::PlannedWorkload planned, graph::read_planned(flags.workload),
                   flags.json);
  MESHPLAN_CLI_TRY(const graph::RunOptions options, options_from(flags, planned), flags.json);
  graph::Workload workload = planned.workload;
  if (flags.epochs >= 0) workload.epochs = flags.epochs;
  auto ran = graph::run(workload, options, [&](const graph::PassLine& line) {
    if (line.evaluation)
      note(
          fmt::format("pass {}: filtered MRR {:.4f}", line.version, line.evaluation->filtered.mrr));
  });
  // Rank 0 knows of every rank's error.
  if (!ran.ok() && flags.processes && launched_rank().rank > 0)
    return static_cast<int>(ran.error().kind);
  MESHPLAN_CLI_TRY(const graph::RunAnswer answer, std::move(ran), flags.json);
  if (answer.rank != 0) return 0;
  MESHPLAN_CLI_TRY(const std::optional<PassTimes> times, pass_times(answer, flags), flags.json);
  if (flags.json)
    print(to_document(answer, times, flags));
  else
    print(to_text(answer, times, flags));
  if (answer.traffic_equal && answer.table_bytes <= answer.expected_table_bytes) return 0;
  return fail(
      {.kind = ErrorKind::check, .message = "what moved or was held is not what the plan says"},
      false);
}

}  // namespace

int run_validate_graph(const Arguments& arguments) {
  CLI::App app(
      "Imports and trains a graph workload here, ranks as threads, evaluates it, and compares what "
      "moved\nwith the plan. Exit code 5 if they differ.\n\n"
      "  meshplan validate run graph.yaml --threads 2\n"
      "  meshplan validate run graph.yaml --partitions 8 --resident 4 --checkpoints state\n"
      "  meshplan validate run graph.yaml --partitions 4 --ranks 2 --order halving\n"
      "  meshplan validate run graph.yaml --device cuda --cluster 1xH200\n"
      "  meshplan plan graph.yaml cpu.yaml --save plan.yaml && meshplan validate run plan.yaml\n",
      "meshplan validate run");
  GraphFlags flags;
  add_flags(app, flags);
  MESHPLAN_CLI_PARSE(app, arguments);
  return run_graph(flags);
}

int run_rank_graph(const Arguments& arguments) {
  CLI::App app(
      "One rank of a graph workload between processes, which share a folder. Rank 0 reports.\n\n"
      "  mpirun -n 2 meshplan-rank graph.yaml --partitions 4 --order halving\n"
      "  torchrun --no-python --nproc-per-node 2 meshplan-rank plan.yaml   # meets at "
      "MASTER_ADDR\n",
      "meshplan-rank");
  GraphFlags flags;
  flags.processes = true;
  add_flags(app, flags);
  MESHPLAN_CLI_PARSE(app, arguments);
  return run_graph(flags);
}

}  // namespace meshplan::cli
