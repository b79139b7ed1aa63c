// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "costmodel/graph/epoch.hpp"
#include "profiler/comm/gpu_world.hpp"
#include "profiler/comm/launched_world.hpp"
#include "profiler/comm/thread_world.hpp"
#include "profiler/kernels/graph_random.hpp"
#include "validate/embedding/batch.hpp"
#include "validate/embedding/device_batch.hpp"
#include "validate/embedding/export.hpp"
#include "validate/embedding/resident.hpp"
#include "validate/embedding/run_folder.hpp"

namespace meshplan::graph {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Result<std::unique_ptr<Communicator>> everyone(World& world, const std::string& label) {
  std::vector<int> members(static_cast<size_t>(world.size()));
  std::iota(members.begin(), members.end(), 0);
  return world.group(members, label);
}

/// Figures of all ranks: sums of work, the largest of times and peaks.
Status gather(World& world, PassReport& report) {
  if (world.size() == 1) return Done{};
  MESHPLAN_TRY(const std::unique_ptr<Communicator> all, everyone(world, "report"));
  Traffic& t = report.traffic;
  int64_t* counts[] = {&report.edges,   &t.loads, &t.stores,     &t.loaded_bytes,
                       &t.stored_bytes, &t.sends, &t.sent_bytes, &t.synchronised_bytes};
  std::vector<double> sums = {report.loss};
  for (const int64_t* count : counts) sums.push_back(static_cast<double>(*count));
  MESHPLAN_CHECK(all->all_reduce(sums.data(), static_cast<int64_t>(sums.size())));
  report.loss = sums[0];
  for (size_t i = 0; i < std::size(counts); ++i) *counts[i] = static_cast<int64_t>(sums[i + 1]);
  double most[] = {report.seconds, report.train_s, report.wait_s,
                   static_cast<double>(report.peak_table_bytes)};
  MESHPLAN_CHECK(all->all_reduce(most, 4, ReduceOp::max));
  report.seconds = most[0];
  report.train_s = most[1];
  report.wait_s = most[2];
  report.peak_table_bytes = static_cast<int64_t>(most[3]);
  return Done{};
}

Status barrier(World& world) {
  if (world.size() == 1) return Done{};
  MESHPLAN_TRY(const std::unique_ptr<Communicator> all, everyone(world, "checkpoint"));
  return all->barrier();
}

/// Are all rows in one piece in memory, from the first pass to the last?
bool stays_in_memory(const GraphPlan& plan) {
  return plan.home == Home::memory && plan.ranks == 1 && plan.partitions == 1;
}

/// Tables of all types of such a plan.
std::vector<const Table*> resident_tables(const Workload& w, const RankTrainer& trainer) {
  std::vector<const Table*> out;
  for (size_t t = 0; t < w.entities.size(); ++t) out.push_back(&trainer.tables(0)[t]);
  return out;
}

}  // namespace

Result<std::vector<Table>> whole_tables(const PartitionStore& store, const Workload& w,
                                        int64_t version) {
  std::vector<Table> out;
  const std::vector<int64_t> parts = partitions_by_type(w, store.partitions());
  for (size_t t = 0; t < w.entities.size(); ++t) {
    const EntityType& type = w.entities[t];
    out.emplace_back(type.featurized() ? type.features : type.count, w.dimension);
  }
  const auto take = [&](int partition) -> Status {
    MESHPLAN_TRY(const Tables tables, store.load(partition, version));
    size_t k = 0;
    for (size_t t = 0; t < out.size(); ++t) {
      if ((parts[t] > 1 || store.partitions() == 1) != (partition >= 0)) continue;
      const Table& from = tables[k++];
      const int64_t first =
          partition < 0 ? 0 : first_of(partition, store.partitions(), out[t].rows);
      std::copy_n(from.values(), from.rows * from.cols, out[t].values() + first * from.cols);
      std::copy_n(from.sums(), from.rows, out[t].sums() + first);
    }
    return Done{};
  };
  for (int p = 0; p < store.partitions(); ++p) MESHPLAN_CHECK(take(p));
  if (bytes_unpartitioned(w, store.partitions()) > 0) MESHPLAN_CHECK(take(-1));
  return out;
}

namespace {

/// A checkpoint of PyTorch-BigGraph as the partitions of version 0.
Result<PbgRead> take_over(const PartitionStore& store, const Workload& w, const Graph& graph,
                          const PbgFolders& folders) {
  MESHPLAN_TRY(std::vector<Table> whole, whole_tables(store, w, 0));
  MESHPLAN_TRY(SharedParameters parameters, store.load_parameters(0));
  MESHPLAN_TRY(const PbgRead read, read_pbg_state(w, graph, folders, whole, parameters));
  const std::vector<int64_t> parts = partitions_by_type(w, store.partitions());
  for (int p = bytes_unpartitioned(w, store.partitions()) > 0 ? -1 : 0; p < store.partitions();
       ++p) {
    Tables tables = store.empty(p);
    size_t k = 0;
    for (size_t t = 0; t < whole.size(); ++t) {
      if ((parts[t] > 1 || store.partitions() == 1) != (p >= 0)) continue;
      Table& to = tables[k++];
      const int64_t first = p < 0 ? 0 : first_of(p, store.partitions(), whole[t].rows);
      std::copy_n(whole[t].values() + first * to.cols, to.rows * to.cols, to.values());
    }
    MESHPLAN_CHECK(store.save(p, tables, 0));
  }
  MESHPLAN_CHECK(store.save_parameters(parameters, 0));
  return read;
}

const Edges* evaluated_edges(const Graph& graph, const RunOptions& options) {
  if (options.evaluate_on == "test") return &graph.test;
  return options.evaluate_on == "valid" ? &graph.valid : nullptr;
}

/// What is done with the rows after the last pass.
Status finish(const Trained& trained, const RunOptions& options, RunAnswer& answer) {
  const Graph& graph = trained.graph;
  const Edges* asked = evaluated_edges(graph, options);
  if (asked != nullptr && asked->size() > 0) {
    const auto start = Clock::now();
    answer.evaluation =
        evaluate(trained.workload, graph, trained.tables, trained.parameters, *asked,
                 {&graph.train, &graph.valid, &graph.test}, options.evaluate);
    answer.evaluate_s = since(start);
  }
  if (!options.export_tsv.empty()) MESHPLAN_CHECK(export_tsv(trained, options.export_tsv));
  if (!options.export_npy.empty()) MESHPLAN_CHECK(export_npy(trained, options.export_npy));
  if (options.export_pbg.empty()) return Done{};
  return write_pbg_state(trained, options.plan.partitions, pbg_folders(options.export_pbg));
}

/// The same from the last checkpoint, once no rank waits for another one.
Status finish_stored(const Workload& w, const Graph& graph, const RunOptions& options,
                     RunAnswer& answer) {
  const Edges* asked = evaluated_edges(graph, options);
  if ((asked == nullptr || asked->size() == 0) && options.export_tsv.empty() &&
      options.export_npy.empty() && options.export_pbg.empty())
    return Done{};
  const int64_t version = answer.resumed_at + static_cast<int64_t>(answer.passes.size());
  MESHPLAN_TRY(const PartitionStore store,
               PartitionStore::open(w, options.folder, options.plan.partitions, options.seed,
                                    options.threads.threads));
  MESHPLAN_TRY(const SharedParameters parameters, store.load_parameters(version));
  MESHPLAN_TRY(const std::vector<Table> whole, whole_tables(store, w, version));
  std::vector<const Table*> tables;
  tables.reserve(whole.size());
  for (const Table& table : whole) tables.push_back(&table);
  return finish({w, graph, tables, parameters}, options, answer);
}

/// The passes of one rank; with all rows in memory, what comes after them, too.
Result<RunAnswer> run_rank(World& world, const Workload& w, const Graph& graph,
                           const Buckets& buckets, const RunOptions& options,
                           const Progress& progress) {
  const GraphPlan& plan = options.plan;
  MESHPLAN_TRY(const GraphProgram program, lower(
                                               w, plan,
                                               [&](const BucketId& b) {
                                                 return buckets.end(b.first, b.second) -
                                                        buckets.first(b.first, b.second);
                                               },
                                               options.seed));
  MESHPLAN_TRY(const PartitionStore store,
               PartitionStore::open(w, options.folder, plan.partitions, options.seed,
                                    options.threads.threads));
  RunAnswer answer;
  answer.workload = w;
  answer.plan = plan;
  int64_t version = 0;
  if (options.resume) {
    MESHPLAN_TRY(version, store.current());
  }
  // Version 0 is drawn, or taken over anew.
  if (world.rank() == 0) store.clean(version > 0 ? version : -1);
  if (world.rank() == 0 && version == 0 && !options.start_pbg.checkpoint.empty()) {
    MESHPLAN_TRY(answer.taken_over, take_over(store, w, graph, options.start_pbg));
  }
  MESHPLAN_CHECK(barrier(world));
  answer.resumed_at = version;
  for (int r = 0; r < plan.ranks; ++r) {
    answer.expected.add(expected_traffic(program, r));
    answer.expected_table_bytes =
        std::max(answer.expected_table_bytes, expected_table_bytes(w, program, r));
  }
  GraphMachine computer;
  computer.is_cpu = true;
  answer.memory = memory_parts(w, program, computer);
  MESHPLAN_TRY(SharedParameters parameters, store.load_parameters(version));
  std::unique_ptr<GraphDevice> device;
  if (options.device) {
    const int own = options.processes ? std::max(launched_rank().local_rank, 0) : world.rank();
    MESHPLAN_TRY(device, options.device->make(own));
    computer.is_cpu = false;
    GraphProgram as_run = program;
    as_run.plan.prefetch = false;  // partitions come to a GPU and leave it between rounds
    for (const Part& part : memory_parts(w, as_run, computer))
      answer.expected_device_bytes += static_cast<int64_t>(part.value);
    if (answer.expected_device_bytes > device->free_bytes())
      return Diagnostic{
          .kind = ErrorKind::no_plan,
          .message =
              fmt::format("rank {} needs {:.1f} GiB of {}, which has {:.1f} GiB free", world.rank(),
                          static_cast<double>(answer.expected_device_bytes) / (1LL << 30),
                          device->name(), static_cast<double>(device->free_bytes()) / (1LL << 30)),
          .where = w.name,
          .rule = "graph-device-memory",
          .hint = "--partitions, with --resident fewer of them"};
  }
  RankTrainer trainer({.workload = &w,
                       .graph = &graph,
                       .buckets = &buckets,
                       .store = &store,
                       .program = &program,
                       .threads = options.threads,
                       .seed = options.seed,
                       .device = device.get()},
                      parameters, world);
  MESHPLAN_CHECK(trainer.load_resident(version));
  const int64_t last = w.epochs * w.passes_per_epoch;
  const bool moves = plan.home != Home::memory || plan.ranks > 1;
  const bool in_memory = stays_in_memory(plan);
  const Edges* asked = evaluated_edges(graph, options);
  const std::vector<const Edges*> known = {&graph.train, &graph.valid, &graph.test};
  for (; version < last; ++version) {
    const bool due = moves || version + 1 == last ||
                     (options.save_every > 0 && (version + 1) % options.save_every == 0);
    const int64_t epoch = (version + 1) / w.passes_per_epoch;
    const bool between = options.evaluate_every > 0 && (version + 1) % w.passes_per_epoch == 0 &&
                         epoch % options.evaluate_every == 0 && version + 1 < last;
    MESHPLAN_TRY(PassReport report, trainer.pass(version, due || between));
    if (due) {
      // Partitions that move are on the disk already.
      if (world.rank() == 0) {
        MESHPLAN_CHECK(trainer.save_resident(version + 1));
        MESHPLAN_CHECK(store.save_parameters(parameters, version + 1));
      }
      MESHPLAN_CHECK(barrier(world));
      if (world.rank() == 0) MESHPLAN_CHECK(store.commit(version + 1));
      MESHPLAN_CHECK(barrier(world));
    }
    MESHPLAN_CHECK(gather(world, report));
    PassLine line{version, report, {}};
    answer.traffic_equal = answer.traffic_equal && report.traffic == answer.expected;
    answer.table_bytes = std::max(answer.table_bytes, report.peak_table_bytes);
    if (world.rank() == 0 && between && asked != nullptr && asked->size() > 0 && in_memory)
      line.evaluation = evaluate(w, graph, resident_tables(w, trainer), parameters, *asked, known,
                                 options.evaluate);
    if (world.rank() == 0 && progress) progress(line);
    answer.passes.push_back(line);
  }
  answer.peak_bytes = peak_resident_bytes();
  if (device != nullptr) {
    answer.device = device->name();
    answer.device_bytes = device->peak_bytes();
    answer.peak_bytes = 0;  // the process holds what the device's libraries do, too
  }
  if (in_memory)
    MESHPLAN_CHECK(finish({w, graph, resident_tables(w, trainer), parameters}, options, answer));
  return answer;
}

/// What a process has read before it trains.
struct Read {
  Workload w;  ///< with counts
  Graph graph;
  Buckets buckets;
  double import_s = 0;
  int64_t edges = 0, peak_bytes = 0;
  bool restarted = false;    ///< the peak of the training is counted from its start
  std::vector<Part> memory;  ///< that it keeps beside what the plan says
};

Result<Read> read_graph(const Workload& workload, const RunOptions& options) {
  const auto start = Clock::now();
  if (!options.device) load_products(workload, options.plan.compute);
  const int64_t program_bytes = resident_bytes();
  Read out;
  MESHPLAN_TRY(out.graph, import_graph(workload, {options.threads.threads, options.seed}));
  Graph& graph = out.graph;
  out.edges = graph.train.size() + graph.valid.size() + graph.test.size();
  out.import_s = since(start);
  out.w = with_counts(workload, graph);
  MESHPLAN_CHECK(check(out.w, workload.name));
  // The filter of an evaluation asks for the edges again; else they live in their buckets only.
  const bool filtered = options.evaluate_on != "none" && graph.test.size() + graph.valid.size() > 0;
  Edges train = filtered ? graph.train : std::move(graph.train);
  out.buckets = into_buckets(out.w, graph, std::move(train),
                             partitions_by_type(out.w, options.plan.partitions));
  int64_t names = graph.relations.bytes();
  for (const Names& one : graph.entities) names += one.bytes();
  const int64_t evaluated = graph.train.bytes() + graph.valid.bytes() + graph.test.bytes();
  out.memory = {{"program and libraries", static_cast<double>(program_bytes)},
                {"names", static_cast<double>(names)},
                {"edges for the evaluation", static_cast<double>(evaluated)}};
  out.peak_bytes = peak_resident_bytes();
  out.restarted = restart_peak();
  return out;
}

/// Ranks that are processes: have they read the same graph, and what do they hold together?
Status compare_processes(World& world, const RunOptions& options, Read& read) {
  if (world.size() != options.plan.ranks)
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = fmt::format("{} processes for a plan of {} ranks", world.size(),
                                             options.plan.ranks),
                      .where = "--ranks",
                      .hint = "as many as the plan has"};
  MESHPLAN_TRY(const std::unique_ptr<Communicator> all, everyone(world, "graph"));
  uint64_t own = 0;
  for (const char c : to_yaml(read.w)) own = combine(own, static_cast<unsigned char>(c));
  for (const auto* part : {&read.buckets.edges.lhs, &read.buckets.edges.rhs})
    for (const int32_t end : *part) own = combine(own, static_cast<uint32_t>(end));
  uint64_t first = own;
  MESHPLAN_CHECK(all->broadcast(&first, sizeof(first), 0));
  if (first != own)
    return Diagnostic{
        .kind = ErrorKind::input,
        .message = fmt::format("rank {} has read another graph than rank 0", world.rank()),
        .where = read.w.name,
        .hint = "the same files and flags for all ranks"};
  for (Part& part : read.memory) MESHPLAN_CHECK(all->all_reduce(&part.value, 1));
  return Done{};
}

Status check_device(const Workload& workload, const RunOptions& options) {
  const std::vector<std::string> refused = not_on_devices(workload, options.plan.compute);
  if (!refused.empty())
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = fmt::format("GPUs do not train {}", fmt::join(refused, ", ")),
                      .where = workload.name,
                      .rule = "graph-device",
                      .hint = "--device cpu"};
  return options.device->present();
}

/// What only the process of rank 0 adds to its answer.
void complete(const Read& read, const RunOptions& options, RunAnswer& answer) {
  answer.resident_bytes = std::max(read.peak_bytes, peak_resident_bytes());
  if (!read.restarted) answer.peak_bytes = 0;
  for (Part& part : answer.memory)  // every process has all edges
    if (options.processes && part.name == "edges") part.value *= options.plan.ranks;
  answer.memory.insert(answer.memory.begin(), read.memory.begin(), read.memory.end());
  std::erase_if(answer.memory, [](const Part& part) { return part.value <= 0; });
  answer.import_s = read.import_s;
  answer.imported_edges = read.edges;
}

}  // namespace

Result<RunAnswer> run(const Workload& workload, const RunOptions& given, const Progress& progress) {
  RunOptions options = given;
  MESHPLAN_CHECK(check_plan(workload, options.plan));
  if (options.device) MESHPLAN_CHECK(check_device(workload, options));
  RunFolder folder;
  Read read;
  RunAnswer answer;
  const auto train = [&](World& world) {
    return run_rank(world, read.w, read.graph, read.buckets, options, progress);
  };
  Status status = Done{};
  if (options.processes) {
    status = run_launched_rank(options.world, [&](World& world) -> Status {
      MESHPLAN_TRY(options.folder, common_folder(world, given.folder, folder));
      MESHPLAN_TRY(read, read_graph(workload, options));
      MESHPLAN_CHECK(compare_processes(world, options, read));
      MESHPLAN_TRY(answer, train(world));
      MESHPLAN_TRY(const std::unique_ptr<Communicator> all, everyone(world, "memory"));
      auto peak = static_cast<double>(answer.peak_bytes);
      MESHPLAN_CHECK(all->all_reduce(&peak, 1));
      answer.peak_bytes = static_cast<int64_t>(peak);
      answer.rank = world.rank();
      return Done{};
    });
  } else {
    MESHPLAN_TRY(folder, RunFolder::take(options.folder));
    options.folder = folder.path();
    MESHPLAN_TRY(read, read_graph(workload, options));
    status = run_ranks(options.plan.ranks, options.world, [&](World& world) -> Status {
      MESHPLAN_TRY(RunAnswer own, train(world));
      if (world.rank() == 0) answer = std::move(own);
      return Done{};
    });
  }
  if (!status.ok()) return status.error();
  if (answer.rank != 0) return answer;
  if (!stays_in_memory(options.plan))
    MESHPLAN_CHECK(finish_stored(read.w, read.graph, options, answer));
  complete(read, options, answer);
  return answer;
}

}  // namespace meshplan::graph
