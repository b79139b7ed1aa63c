// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/pbg/state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "strategies/embedding/plan.hpp"
#include "topologies/base/files.hpp"
#include "validate/embedding/pbg/h5_file.hpp"
#include "validate/embedding/run_folder.hpp"

namespace meshplan::graph {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kFormatKey = "format_version";
constexpr int64_t kFormat = 1;

/// One array of an operator: its name, typed or dynamic, and how many of the relation's parameters.
struct OperatorArray {
  const char *typed, *dynamic;
  std::vector<int64_t> shape;  ///< of one relation
  int64_t count() const {
    int64_t n = 1;
    for (const int64_t size : shape) n *= size;
    return n;
  }
};

/// In the order in which the parameters of a relation stand in our tables.
std::vector<OperatorArray> arrays_of(Operator op, int64_t d) {
  switch (op) {
    case Operator::none:
      return {};
    case Operator::diagonal:
      return {{"diagonal", "diagonals", {d}}};
    case Operator::translation:
      return {{"translation", "translations", {d}}};
    case Operator::complex_diagonal:
      return {{"real", "real", {d / 2}}, {"imag", "imag", {d / 2}}};
    case Operator::linear:
      return {{"linear_transformation", "linear_transformations", {d, d}}};
    case Operator::affine:
      return {{"linear_transformation", "linear_transformations", {d, d}},
              {"translation", "translations", {d}}};
  }
  return {};
}

std::string array_name(size_t relation, const char* side, const OperatorArray& array,
                       bool dynamic) {
  return fmt::format("model/relations/{}/operator/{}/{}", relation, side,
                     dynamic ? array.dynamic : array.typed);
}

std::vector<int64_t> array_shape(const OperatorArray& array, bool dynamic, int64_t rows) {
  std::vector<int64_t> shape = array.shape;
  if (dynamic) shape.insert(shape.begin(), rows);
  return shape;
}

std::string embeddings_file(const PbgFolders& folders, const std::string& type, int64_t part,
                            int64_t version) {
  return fmt::format("{}/embeddings_{}_{}.v{}.h5", folders.checkpoint, type, part, version);
}
std::string model_file(const PbgFolders& folders, int64_t version) {
  return fmt::format("{}/model.v{}.h5", folders.checkpoint, version);
}
std::string names_file(const PbgFolders& folders, const std::string& type, int64_t part) {
  return fmt::format("{}/entity_names_{}_{}.json", folders.entities, type, part);
}

Result<int64_t> read_count(const std::string& path) {
  MESHPLAN_TRY(const std::string text, read_file(path));
  int64_t count = -1;
  std::from_chars(text.data(), text.data() + text.size(), count);
  if (count >= 0) return count;
  return Diagnostic{
      .kind = ErrorKind::input, .message = "holds no number", .where = path, .value = text};
}

Result<std::vector<std::string>> read_names(const std::string& path) {
  MESHPLAN_TRY(const std::string text, read_file(path));
  const Json names = Json::parse(text, nullptr, false);
  const bool strings =
      names.is_array() &&
      std::all_of(names.begin(), names.end(), [](const Json& one) { return one.is_string(); });
  if (!strings)
    return Diagnostic{
        .kind = ErrorKind::input, .message = "is not a JSON list of names", .where = path};
  return names.get<std::vector<std::string>>();
}

Status write_names(const std::string& path, const Names& names, int64_t from, int64_t to) {
  Json list = Json::array();
  for (int64_t i = from; i < to; ++i) list.push_back(std::string(names[i]));
  return write_file(path, list.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

using Places = std::unordered_map<std::string_view, int64_t>;
Places places_of(const Names& names) {
  Places out;
  out.reserve(static_cast<size_t>(names.size()));
  for (int64_t i = 0; i < names.size(); ++i) out.emplace(names[i], i);
  return out;
}

Status check_format(const H5File& file, const std::string& path) {
  MESHPLAN_TRY(const int64_t format, file.number("/", kFormatKey));
  if (format == kFormat) return Done{};
  return Diagnostic{.kind = ErrorKind::input,
                    .message = "another version of PyTorch-BigGraph's format",
                    .where = path,
                    .value = fmt::format("{}", format),
                    .hint = fmt::format("{}", kFormat)};
}

struct Side {
  const char* name;
  std::vector<ParameterTable>* tables;
};

Status write_operators(H5File& file, const Workload& w, const SharedParameters& parameters) {
  auto& all = const_cast<SharedParameters&>(parameters);  // read only
  for (const Side& side : {Side{"rhs", &all.rhs}, Side{"lhs", &all.lhs}})
    for (size_t r = 0; r < side.tables->size(); ++r) {
      const ParameterTable& table = (*side.tables)[r];
      int64_t at = 0;
      for (const OperatorArray& array : arrays_of(w.relations[r].op, w.dimension)) {
        std::vector<float> values;
        for (int64_t i = 0; i < table.rows; ++i)
          values.insert(values.end(), table.row(i) + at, table.row(i) + at + array.count());
        at += array.count();
        const std::string name = array_name(r, side.name, array, w.dynamic_relations);
        MESHPLAN_CHECK(
            file.write(name, array_shape(array, w.dynamic_relations, table.rows), values.data()));
        MESHPLAN_CHECK(
            file.set_text(name, "state_dict_key",
                          fmt::format("{}_operators.{}.{}", side.name, r,
                                      w.dynamic_relations ? array.dynamic : array.typed)));
      }
    }
  for (size_t t = 0; t < parameters.global.size(); ++t) {
    const std::string& type = w.entities[t].name;
    const std::string name = fmt::format("model/entities/{}/global_embedding", type);
    MESHPLAN_CHECK(file.write(name, {w.dimension}, parameters.global[t].row(0)));
    MESHPLAN_CHECK(file.set_text(name, "state_dict_key", "global_embs.emb_" + type));
  }
  return Done{};
}

/// Place of the checkpoint's dynamic relations in ours, -1: not in the graph; typed ones: 0.
Result<std::vector<int64_t>> relation_places(const Workload& w, const Graph& graph,
                                             const PbgFolders& folders) {
  if (!w.dynamic_relations) return std::vector<int64_t>{0};
  MESHPLAN_TRY(const std::vector<std::string> names,
               read_names(folders.entities + "/dynamic_rel_names.json"));
  const Places own = places_of(graph.relations);
  std::vector<int64_t> out;
  for (const std::string& name : names) {
    const auto found = own.find(name);
    out.push_back(found == own.end() ? -1 : found->second);
  }
  return out;
}

Status read_operators(const H5File& file, const Workload& w, const std::vector<int64_t>& places,
                      SharedParameters& parameters) {
  const auto rows = static_cast<int64_t>(places.size());
  for (const Side& side : {Side{"rhs", &parameters.rhs}, Side{"lhs", &parameters.lhs}})
    for (size_t r = 0; r < side.tables->size(); ++r) {
      ParameterTable& table = (*side.tables)[r];
      int64_t at = 0;
      for (const OperatorArray& array : arrays_of(w.relations[r].op, w.dimension)) {
        std::vector<float> values(static_cast<size_t>(rows * array.count()));
        MESHPLAN_CHECK(file.read(array_name(r, side.name, array, w.dynamic_relations),
                                 array_shape(array, w.dynamic_relations, rows), values.data()));
        for (int64_t i = 0; i < rows; ++i)
          if (const int64_t to = places[static_cast<size_t>(i)]; to >= 0)
            std::copy_n(values.data() + i * array.count(), array.count(), table.row(to) + at);
        at += array.count();
      }
    }
  for (size_t t = 0; t < parameters.global.size(); ++t)
    MESHPLAN_CHECK(file.read(fmt::format("model/entities/{}/global_embedding", w.entities[t].name),
                             {w.dimension}, parameters.global[t].row(0)));
  return Done{};
}

Status has_names(const EntityType& entity) {
  if (!entity.featurized()) return Done{};
  return Diagnostic{.kind = ErrorKind::input,
                    .message = "a type with features has no names in PBG's files",
                    .where = "entities",
                    .value = entity.name,
                    .hint = "--export-tsv or --export-npy"};
}

}  // namespace

PbgFolders pbg_folders(const std::string& folder) {
  return {folder + "/data/entities", folder + "/model"};
}

Status write_pbg_state(const Trained& t, int partitions, const PbgFolders& folders) {
  const Workload& w = t.workload;
  MESHPLAN_CHECK(make_folder(folders.entities));
  MESHPLAN_CHECK(make_folder(folders.checkpoint));
  constexpr int64_t kVersion = 1;
  const std::vector<int64_t> parts = partitions_by_type(w, partitions);
  for (size_t type = 0; type < w.entities.size(); ++type) {
    const EntityType& entity = w.entities[type];
    MESHPLAN_CHECK(has_names(entity));
    const Table& table = *t.tables[type];
    for (int64_t p = 0; p < parts[type]; ++p) {
      const int64_t from = first_of(p, parts[type], table.rows),
                    to = first_of(p + 1, parts[type], table.rows);
      MESHPLAN_CHECK(
          write_file(fmt::format("{}/entity_count_{}_{}.txt", folders.entities, entity.name, p),
                     fmt::format("{}\n", to - from)));
      MESHPLAN_CHECK(
          write_names(names_file(folders, entity.name, p), t.graph.entities[type], from, to));
      MESHPLAN_TRY(H5File file, H5File::create(embeddings_file(folders, entity.name, p, kVersion)));
      MESHPLAN_CHECK(file.set_number("/", kFormatKey, kFormat));
      MESHPLAN_CHECK(
          file.write("embeddings", {to - from, table.cols}, table.values() + from * table.cols));
      MESHPLAN_CHECK(file.close());
    }
  }
  if (w.dynamic_relations) {
    const int64_t count = t.graph.relations.size();
    MESHPLAN_CHECK(
        write_file(folders.entities + "/dynamic_rel_count.txt", fmt::format("{}\n", count)));
    MESHPLAN_CHECK(
        write_names(folders.entities + "/dynamic_rel_names.json", t.graph.relations, 0, count));
  }
  MESHPLAN_TRY(H5File model, H5File::create(model_file(folders, kVersion)));
  MESHPLAN_CHECK(model.set_number("/", kFormatKey, kFormat));
  MESHPLAN_CHECK(write_operators(model, w, t.parameters));
  MESHPLAN_CHECK(model.close());
  // Last: what it names is whole.
  return write_file(folders.checkpoint + "/checkpoint_version.txt", fmt::format("{}\n", kVersion));
}

Result<PbgRead> read_pbg_state(const Workload& w, const Graph& graph, const PbgFolders& folders,
                               std::vector<Table>& tables, SharedParameters& parameters) {
  PbgRead out;
  MESHPLAN_TRY(out.version, read_count(folders.checkpoint + "/checkpoint_version.txt"));
  for (size_t type = 0; type < w.entities.size(); ++type) {
    const EntityType& entity = w.entities[type];
    MESHPLAN_CHECK(has_names(entity));
    const Places own = places_of(graph.entities[type]);
    Table& table = tables[type];
    int64_t taken = 0;
    for (int64_t p = 0; p == 0 || fs::exists(names_file(folders, entity.name, p)); ++p) {
      MESHPLAN_TRY(const std::vector<std::string> names,
                   read_names(names_file(folders, entity.name, p)));
      const std::string path = embeddings_file(folders, entity.name, p, out.version);
      MESHPLAN_TRY(const H5File file, H5File::open(path));
      MESHPLAN_CHECK(check_format(file, path));
      const auto rows = static_cast<int64_t>(names.size());
      std::vector<float> values(static_cast<size_t>(rows * table.cols));
      MESHPLAN_CHECK(file.read("embeddings", {rows, table.cols}, values.data()));
      for (int64_t i = 0; i < rows; ++i) {
        const auto found = own.find(names[static_cast<size_t>(i)]);
        if (found == own.end()) {
          ++out.unknown;
          continue;
        }
        ++taken;
        std::copy_n(values.data() + i * table.cols, table.cols,
                    table.values() + found->second * table.cols);
      }
    }
    out.rows += taken;
    out.missing += table.rows - taken;
  }
  MESHPLAN_TRY(const std::vector<int64_t> places, relation_places(w, graph, folders));
  for (const int64_t place : places) out.relations += place >= 0 ? 1 : 0;
  if (w.operator_parameters() == 0 && parameters.global.empty()) return out;
  const std::string path = model_file(folders, out.version);
  MESHPLAN_TRY(const H5File model, H5File::open(path));
  MESHPLAN_CHECK(check_format(model, path));
  MESHPLAN_CHECK(read_operators(model, w, places, parameters));
  return out;
}

}  // namespace meshplan::graph
