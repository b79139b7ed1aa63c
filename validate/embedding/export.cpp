// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/export.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <fstream>

#include "validate/embedding/run_folder.hpp"

namespace meshplan::graph {
namespace {

/// A file that is being written; its errors come out at the end.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path), out_(path, std::ios::binary) {}
  void write(std::string_view text) {
    out_.write(text.data(), static_cast<std::streamsize>(text.size()));
  }
  void write(const float* values, int64_t count) {
    out_.write(reinterpret_cast<const char*>(values),
               static_cast<std::streamsize>(count * static_cast<int64_t>(sizeof(float))));
  }
  Status close() {
    out_.close();
    if (out_) return Done{};
    return Diagnostic{.kind = ErrorKind::input, .message = "cannot write", .where = path_};
  }

 private:
  std::string path_;
  std::ofstream out_;
};

/// Rows of a featurised type are features, which have numbers only.
std::string row_name(const Graph& graph, size_t type, int64_t row) {
  return graph.features[type].count > 0 ? fmt::format("{}", row)
                                        : std::string(graph.entities[type][row]);
}

std::string relation_name(const Trained& t, size_t type, int64_t row) {
  return t.workload.dynamic_relations ? std::string(t.graph.relations[row])
                                      : t.workload.relations[type].name;
}

struct SideTables {
  const char* name;
  const std::vector<ParameterTable>& tables;
};

/// Format 1.0 of NumPy: magic, length of the header, the header padded to 64 bytes, the values.
Status write_npy(const std::string& path, int64_t rows, int64_t cols, const float* values) {
  static_assert(std::endian::native == std::endian::little);
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr size_t kFixed = 10, kAlign = 64;
  header.append(kAlign - (kFixed + header.size() + 1) % kAlign, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(length & 0xFF);
  start += static_cast<char>(length >> 8);
  Output out(path);
  out.write(start + header);
  out.write(values, rows * cols);
  return out.close();
}

}  // namespace

Status export_tsv(const Trained& t, const std::string& folder) {
  MESHPLAN_CHECK(make_folder(folder));
  Output entities(folder + "/entities.tsv");
  const auto line = [](Output& out, std::string text, const float* values, int64_t count) {
    for (int64_t c = 0; c < count; ++c) text += fmt::format("\t{:.9g}", values[c]);
    out.write(text + '\n');
  };
  for (size_t type = 0; type < t.tables.size(); ++type) {
    const Table& table = *t.tables[type];
    for (int64_t i = 0; i < table.rows; ++i)
      line(entities, row_name(t.graph, type, i), table.values() + i * table.cols, table.cols);
  }
  MESHPLAN_CHECK(entities.close());
  Output relations(folder + "/relations.tsv");
  for (const SideTables& side :
       {SideTables{"rhs", t.parameters.rhs}, SideTables{"lhs", t.parameters.lhs}})
    for (size_t r = 0; r < side.tables.size(); ++r) {
      const ParameterTable& table = side.tables[r];
      for (int64_t i = 0; i < table.rows; ++i)
        line(relations,
             fmt::format("{}\t{}\t{}", relation_name(t, r, i), side.name,
                         name_of(t.workload.relations[r].op)),
             table.row(i), table.cols);
    }
  return relations.close();
}

Status export_npy(const Trained& t, const std::string& folder) {
  MESHPLAN_CHECK(make_folder(folder));
  for (size_t type = 0; type < t.tables.size(); ++type) {
    const Table& table = *t.tables[type];
    const std::string& name = t.workload.entities[type].name;
    MESHPLAN_CHECK(write_npy(fmt::format("{}/embeddings_{}.npy", folder, name), table.rows,
                             table.cols, table.values()));
    Output names(fmt::format("{}/names_{}.txt", folder, name));
    for (int64_t i = 0; i < table.rows; ++i) names.write(row_name(t.graph, type, i) + '\n');
    MESHPLAN_CHECK(names.close());
  }
  for (const SideTables& side :
       {SideTables{"rhs", t.parameters.rhs}, SideTables{"lhs", t.parameters.lhs}})
    for (size_t r = 0; r < side.tables.size(); ++r)
      MESHPLAN_CHECK(write_npy(fmt::format("{}/operators_{}_{}.npy", folder, side.name, r),
                               side.tables[r].rows, side.tables[r].cols,
                               side.tables[r].values.data()));
  Output names(folder + "/names_relations.txt");
  for (size_t r = 0; r < t.workload.relations.size(); ++r)
    for (int64_t i = 0; i < t.parameters.rhs[r].rows; ++i)
      names.write(relation_name(t, r, i) + '\n');
  return names.close();
}

}  // namespace meshplan::graph
