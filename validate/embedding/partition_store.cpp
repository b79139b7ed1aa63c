// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/partition_store.hpp"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "profiler/storage/row_file.hpp"
#include "strategies/embedding/plan.hpp"
#include "topologies/base/files.hpp"
#include "validate/embedding/graph.hpp"
#include "validate/embedding/run_folder.hpp"

namespace meshplan::graph {
namespace {

namespace fs = std::filesystem;

std::vector<FloatSpan> spans(SharedParameters& parameters) {
  std::vector<FloatSpan> out;
  for (ParameterTable* table : parameters.all()) {
    out.push_back({table->values.data(), static_cast<int64_t>(table->values.size())});
    out.push_back({table->sums.data(), static_cast<int64_t>(table->sums.size())});
  }
  return out;
}

}  // namespace

Result<PartitionStore> PartitionStore::open(const Workload& workload, const std::string& folder,
                                            int partitions, uint64_t seed, int threads) {
  MESHPLAN_CHECK(make_folder(folder));
  PartitionStore store;
  store.w_ = workload;
  store.folder_ = folder;
  store.partitions_ = partitions;
  store.seed_ = seed;
  store.threads_ = threads;
  return store;
}

/// What a state depends on; epochs, learning rates and files may change between runs.
std::string PartitionStore::identity() const {
  Workload w = w_;
  w.data = {};
  w.epochs = 1;
  w.passes_per_epoch = 1;
  w.learning_rate = 1;
  w.relation_learning_rate = 0;
  w.n3 = 0;
  w.batch = 1;
  w.negatives = {.batch = 1, .uniform = 1};
  w.edges = 0;
  for (EntityType& type : w.entities) {
    type.names_file.clear();
    type.features_file.clear();
    type.partitions = 0;
  }
  return to_yaml(w) + fmt::format("# {} partitions, seed {}\n", partitions_, seed_);
}

Result<int64_t> PartitionStore::current() const {
  const std::string path = folder_ + "/CURRENT";
  if (!fs::exists(path)) return int64_t{0};
  MESHPLAN_TRY(const std::string text, read_file(path));
  int64_t version = -1;
  std::from_chars(text.data(), text.data() + text.size(), version);
  if (version < 0)
    return Diagnostic{
        .kind = ErrorKind::input, .message = "names no version", .where = path, .value = text};
  MESHPLAN_TRY(const std::string of, read_file(folder_ + "/workload.yaml"));
  if (of != identity())
    return Diagnostic{.kind = ErrorKind::input,
                      .message =
                          "the folder holds the state of another workload, another number "
                          "of partitions or another seed",
                      .where = folder_ + "/workload.yaml",
                      .hint = "give another folder, or the same numbers as before"};
  return version;
}

std::string PartitionStore::file_of(size_t type, int partition, int64_t version) const {
  return fmt::format("{}/rows_{}_{}.v{}.bin", folder_, type, partition < 0 ? 0 : partition,
                     version);
}

std::vector<size_t> PartitionStore::types_of(int partition) const {
  const std::vector<int64_t> parts = partitions_by_type(w_, partitions_);
  std::vector<size_t> types;
  for (size_t t = 0; t < parts.size(); ++t) {
    const bool with_partition = parts[t] > 1 || partitions_ == 1;
    if (with_partition == (partition >= 0)) types.push_back(t);
  }
  return types;
}

Tables PartitionStore::empty(int partition) const {
  Tables tables;
  for (const size_t t : types_of(partition)) {
    const EntityType& type = w_.entities[t];
    const int64_t rows = type.featurized() ? type.features : type.count;
    const int64_t parts = partition < 0 ? 1 : partitions_;
    const int64_t at = partition < 0 ? 0 : partition;
    tables.emplace_back(first_of(at + 1, parts, rows) - first_of(at, parts, rows), w_.dimension);
  }
  return tables;
}

Result<Tables> PartitionStore::load(int partition, int64_t version) const {
  Tables tables = empty(partition);
  const std::vector<size_t> types = types_of(partition);
  for (size_t i = 0; i < types.size(); ++i) {
    Table& table = tables[i];
    if (version > 0 || fs::exists(file_of(types[i], partition, 0))) {
      MESHPLAN_CHECK(read_floats(file_of(types[i], partition, version), table.rows, table.cols,
                                 {{table.memory.data(), table.memory.size()}}));
      continue;
    }
    const EntityType& type = w_.entities[types[i]];
    const int64_t rows = type.featurized() ? type.features : type.count;
    const int64_t first = partition < 0 ? 0 : first_of(partition, partitions_, rows);
    initialise(table, static_cast<int>(types[i]), first, w_.init_scale, w_.max_norm, seed_,
               threads_);
  }
  return tables;
}

Status PartitionStore::save(int partition, const Tables& tables, int64_t version) const {
  const std::vector<size_t> types = types_of(partition);
  for (size_t i = 0; i < types.size(); ++i) {
    const Table& table = tables[i];
    MESHPLAN_CHECK(write_floats(file_of(types[i], partition, version), table.rows, table.cols,
                                {{const_cast<float*>(table.memory.data()), table.memory.size()}}));
  }
  return Done{};
}

Result<SharedParameters> PartitionStore::load_parameters(int64_t version) const {
  SharedParameters parameters = initial_parameters(w_, seed_);
  const std::string path = fmt::format("{}/operators.v{}.bin", folder_, version);
  if (version == 0 && !fs::exists(path)) return parameters;
  MESHPLAN_CHECK(
      read_floats(path, static_cast<int64_t>(parameters.all().size()), 0, spans(parameters)));
  return parameters;
}

Status PartitionStore::save_parameters(const SharedParameters& parameters, int64_t version) const {
  auto& all = const_cast<SharedParameters&>(parameters);  // spans are read only
  return write_floats(fmt::format("{}/operators.v{}.bin", folder_, version),
                      static_cast<int64_t>(all.all().size()), 0, spans(all));
}

Status PartitionStore::commit(int64_t version) const {
  MESHPLAN_CHECK(write_durably(folder_ + "/workload.yaml", identity()));
  MESHPLAN_CHECK(write_durably(folder_ + "/CURRENT", fmt::format("{}\n", version)));
  clean(version);
  return Done{};
}

void PartitionStore::clean(int64_t version) const {
  std::error_code ignored;  // a file that stays is only a waste of space
  const std::string keep = fmt::format(".v{}.bin", version);
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name.starts_with("rows_") || name.starts_with("operators.v");
    if (ours && !name.ends_with(keep)) fs::remove(entry.path(), ignored);
  }
}

}  // namespace meshplan::graph
