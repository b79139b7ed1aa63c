// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/run.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "costmodel/graph/epoch.hpp"
#include "profiler/comm/thread_world.hpp"
#include "validate/embedding/export.hpp"
#include "validate/embedding/resident.hpp"

namespace meshplan::graph {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A folder that lasts as long as the run.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> make() {
    std::string name = (std::filesystem::temp_directory_path() / "meshplan-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      return Diagnostic{.kind = ErrorKind::input,
                        .message = "cannot make a temporary folder",
                        .where = name,
                        .hint = "--checkpoints FOLDER"};
    TemporaryFolder out;
    out.path_ = name;
    return out;
  }
  TemporaryFolder() = default;
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A folder has one run at a time; the system gives it back when the process ends, however.
class FolderLock {
 public:
  static Result<FolderLock> take(const std::string& folder) {
    std::error_code ignored;
    std::filesystem::create_directories(folder, ignored);
    const std::string path = folder + "/LOCK";
    FolderLock out;
    out.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (out.fd_ >= 0 && ::flock(out.fd_, LOCK_EX | LOCK_NB) == 0) return out;
    return Diagnostic{
        .kind = ErrorKind::input,
        .message = out.fd_ < 0 ? "cannot write in the folder" : "another run is using the folder",
        .where = path,
        .hint = "give another folder, or wait"};
  }
  FolderLock() = default;
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
  }

 private:
  int fd_ = -1;
};

/// Figures of all ranks: sums of work, the largest of times and peaks.
Status gather(World& world, PassReport& report) {
  if (world.size() == 1) return Done{};
  std::vector<int> everyone;
  for (int r = 0; r < world.size(); ++r) everyone.push_back(r);
  MESHPLAN_TRY(const std::unique_ptr<Communicator> all, world.group(everyone, "report"));
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
  std::vector<int> everyone;
  for (int r = 0; r < world.size(); ++r) everyone.push_back(r);
  MESHPLAN_TRY(const std::unique_ptr<Communicator> all, world.group(everyone, "checkpoint"));
  return all->barrier();
}

/// Tables of all types where every partition is in memory and there is only one.
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

}  // namespace

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
  RankTrainer trainer({&w, &graph, &buckets, &store, &program, options.threads, options.seed},
                      parameters, world);
  MESHPLAN_CHECK(trainer.load_resident(version));
  const int64_t last = w.epochs * w.passes_per_epoch;
  const bool moves = plan.home != Home::memory || plan.ranks > 1;
  const bool in_memory = !moves && plan.partitions == 1;
  const Edges* asked = options.evaluate_on == "test"    ? &graph.test
                       : options.evaluate_on == "valid" ? &graph.valid
                                                        : nullptr;
  const std::vector<const Edges*> known = {&graph.train, &graph.valid, &graph.test};
  for (; version < last; ++version) {
    MESHPLAN_TRY(PassReport report, trainer.pass(version));
    const bool due = moves || version + 1 == last ||
                     (options.save_every > 0 && (version + 1) % options.save_every == 0);
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
    const int64_t epoch = (version + 1) / w.passes_per_epoch;
    const bool between = options.evaluate_every > 0 && (version + 1) % w.passes_per_epoch == 0 &&
                         epoch % options.evaluate_every == 0 && version + 1 < last;
    if (world.rank() == 0 && between && asked != nullptr && asked->size() > 0 && in_memory)
      line.evaluation = evaluate(w, graph, resident_tables(w, trainer), parameters, *asked, known,
                                 options.evaluate);
    if (world.rank() == 0 && progress) progress(line);
    answer.passes.push_back(std::move(line));
  }
  answer.peak_bytes = peak_resident_bytes();
  const bool evaluated = asked != nullptr && asked->size() > 0;
  const bool exported =
      !options.export_tsv.empty() || !options.export_npy.empty() || !options.export_pbg.empty();
  if (world.rank() != 0 || (!evaluated && !exported)) return answer;
  std::vector<Table> whole;
  std::vector<const Table*> tables;
  if (in_memory) {
    tables = resident_tables(w, trainer);
  } else {
    MESHPLAN_TRY(whole, whole_tables(store, w, version));
    for (const Table& table : whole) tables.push_back(&table);
  }
  if (evaluated) {
    const auto start = Clock::now();
    answer.evaluation = evaluate(w, graph, tables, parameters, *asked, known, options.evaluate);
    answer.evaluate_s = since(start);
  }
  const Trained trained{w, graph, tables, parameters};
  if (!options.export_tsv.empty()) MESHPLAN_CHECK(export_tsv(trained, options.export_tsv));
  if (!options.export_npy.empty()) MESHPLAN_CHECK(export_npy(trained, options.export_npy));
  if (!options.export_pbg.empty())
    MESHPLAN_CHECK(write_pbg_state(trained, plan.partitions, pbg_folders(options.export_pbg)));
  return answer;
}

Result<RunAnswer> run(const Workload& workload, const RunOptions& given, const Progress& progress) {
  RunOptions options = given;
  TemporaryFolder temporary;
  if (options.folder.empty()) {
    MESHPLAN_TRY(temporary, TemporaryFolder::make());
    options.folder = temporary.path();
  }
  MESHPLAN_CHECK(check_plan(workload, options.plan));
  MESHPLAN_TRY(const FolderLock lock, FolderLock::take(options.folder));
  const auto start = Clock::now();
  const int64_t program_bytes = resident_bytes();
  MESHPLAN_TRY(Graph graph, import_graph(workload, {options.threads.threads, options.seed}));
  const int64_t read = graph.train.size() + graph.valid.size() + graph.test.size();
  const double import_s = since(start);
  const Workload w = with_counts(workload, graph);
  MESHPLAN_CHECK(check(w, workload.name));
  // The filter of an evaluation asks for the edges again; else they live in their buckets only.
  const bool filtered = options.evaluate_on != "none" && graph.test.size() + graph.valid.size() > 0;
  Edges train = filtered ? graph.train : std::move(graph.train);
  const Buckets buckets =
      into_buckets(w, graph, std::move(train), partitions_by_type(w, options.plan.partitions));
  int64_t names = graph.relations.bytes();
  for (const Names& one : graph.entities) names += one.bytes();
  const int64_t evaluated = graph.train.bytes() + graph.valid.bytes() + graph.test.bytes();
  const int64_t import_peak = peak_resident_bytes();
  const bool restarted = restart_peak();
  RunAnswer answer;
  const Status status = run_ranks(options.plan.ranks, options.world, [&](World& world) -> Status {
    MESHPLAN_TRY(RunAnswer own, run_rank(world, w, graph, buckets, options, progress));
    if (world.rank() == 0) answer = std::move(own);
    return Done{};
  });
  if (!status.ok()) return status.error();
  answer.resident_bytes = std::max(import_peak, peak_resident_bytes());
  if (!restarted) answer.peak_bytes = 0;
  answer.memory.insert(answer.memory.begin(),
                       {{"program and libraries", static_cast<double>(program_bytes)},
                        {"names", static_cast<double>(names)},
                        {"edges for the evaluation", static_cast<double>(evaluated)}});
  std::erase_if(answer.memory, [](const Part& part) { return part.value <= 0; });
  answer.import_s = import_s;
  answer.imported_edges = read;
  return answer;
}

}  // namespace meshplan::graph
