// SPDX-License-Identifier: Apache-2.0
// Embeddings through PyTorch-BigGraph's files and back, by name, whatever the partitions.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/unit/catch.hpp"
#include "topologies/base/files.hpp"
#include "validate/embedding/pbg/h5_file.hpp"
#include "validate/embedding/run.hpp"

namespace meshplan::graph {
namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "pbg-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  std::string path;
};

/// Users like items: typed relations with every operator, a global vector a type.
Workload typed(const Folder& folder) {
  std::ofstream out(folder.path + "/edges.tsv");
  const char* names[] = {"diagonal", "translation", "complex", "linear", "affine", "none"};
  for (int i = 0; i < 300; ++i)
    out << "u" << i % 25 << "\t" << names[i % 6] << "\ti" << (i * 7) % 11 << "\n";
  out.close();
  auto w = parse_workload(R"(
entities: {user: {}, item: {}}
relations:
  - {name: diagonal, lhs: user, rhs: item, operator: diagonal}
  - {name: translation, lhs: user, rhs: item, operator: translation}
  - {name: complex, lhs: user, rhs: item, operator: complex_diagonal}
  - {name: linear, lhs: user, rhs: item, operator: linear}
  - {name: affine, lhs: user, rhs: item, operator: affine}
  - {name: none, lhs: user, rhs: item}
dimension: 4
batch_negatives: 10
uniform_negatives: 10
batch: 20
learning_rate: 0.1
init_scale: 0.1
global_embedding: true
epochs: 2
)",
                          "typed.yaml");
  REQUIRE(w.ok());
  w->data.train = {folder.path + "/edges.tsv"};
  return w.value();
}

/// The same edges with dynamic relations.
Workload dynamic(const Folder& folder) {
  Workload w = typed(folder);
  w.entities.resize(1);
  w.entities[0].name = "node";
  w.relations.resize(1);
  w.relations[0].op = Operator::complex_diagonal;
  w.relations[0].lhs = w.relations[0].rhs = 0;
  w.dynamic_relations = true;
  w.global_embedding = false;
  return w;
}

std::map<std::string, std::string> lines_by_name(const std::string& path, size_t cells) {
  std::map<std::string, std::string> out;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    size_t at = 0;
    for (size_t k = 0; k < cells; ++k) at = line.find('\t', at) + 1;
    out[line.substr(0, at)] = line.substr(at);
  }
  return out;
}

RunOptions options_of(int partitions, uint64_t seed) {
  RunOptions o;
  o.plan = {.partitions = partitions, .resident = std::min(2, partitions)};
  if (partitions > 2) o.plan.home = Home::storage;
  o.threads = {1, true};
  o.seed = seed;
  o.evaluate_on = "none";
  return o;
}

void round_trip(const Folder& folder, Workload w, int from, int to) {
  RunOptions first = options_of(from, 1);
  first.export_pbg = folder.path + "/pbg";
  first.export_tsv = folder.path + "/first";
  const auto trained = run(w, first, {});
  if (!trained.ok()) FAIL(render(trained.error()));
  w.epochs = 0;
  RunOptions second = options_of(to, 2);  // another seed: another order of the entities
  second.start_pbg = pbg_folders(first.export_pbg);
  second.export_tsv = folder.path + "/second";
  const auto again = run(w, second, {});
  if (!again.ok()) FAIL(render(again.error()));
  CHECK(again->taken_over->rows == trained->workload.entity_rows());
  CHECK(again->taken_over->unknown == 0);
  CHECK(again->taken_over->missing == 0);
  for (const auto& [file, cells] : {std::pair{"/entities.tsv", 1}, {"/relations.tsv", 3}}) {
    const auto before = lines_by_name(first.export_tsv + file, static_cast<size_t>(cells));
    CHECK(!before.empty());
    CHECK(before == lines_by_name(second.export_tsv + file, static_cast<size_t>(cells)));
  }
}

TEST_CASE("without the library, PBG's files are refused as missing") {
  if (H5File::available()) return;
  const auto file = H5File::open("model.v1.h5");
  REQUIRE(!file.ok());
  CHECK(file.error().kind == ErrorKind::missing);
}

TEST_CASE("rows and operators come back from PBG's files as they went") {
  if (!H5File::available()) return;
  const Folder folder;
  round_trip(folder, typed(folder), 3, 1);
  round_trip(folder, dynamic(folder), 1, 4);
  const std::string entities = folder.path + "/pbg/data/entities";
  CHECK(read_file(entities + "/entity_count_user_2.txt").value() == "9\n");  // 25 in 8, 8 and 9
  CHECK(read_file(entities + "/dynamic_rel_count.txt").value() == "6\n");
  const auto file = H5File::open(folder.path + "/pbg/model/embeddings_user_1.v1.h5");
  REQUIRE(file.ok());
  CHECK(file->number("/", "format_version").value() == 1);
  CHECK(file->shape("embeddings").value() == std::vector<int64_t>{8, 4});
}

TEST_CASE("what PBG's files lack stays as it was drawn, what is wrong with them is said") {
  if (!H5File::available()) return;
  const Folder folder;
  Workload w = dynamic(folder);
  RunOptions o = options_of(1, 1);
  o.export_pbg = folder.path + "/pbg";
  REQUIRE(run(w, o, {}).ok());
  o.export_pbg.clear();
  o.start_pbg = pbg_folders(folder.path + "/pbg");
  std::ofstream(folder.path + "/edges.tsv") << "u1\tlinear\tnew\nu1\tnone\ti1\n";
  const auto grown = run(w, o, {});
  REQUIRE(grown.ok());
  CHECK(grown->taken_over->rows == 2);
  CHECK(grown->taken_over->unknown == 34);
  CHECK(grown->taken_over->missing == 1);
  CHECK(grown->taken_over->relations == 2);
  w.dimension = 6;
  const auto other = run(w, o, {});
  REQUIRE(!other.ok());
  CHECK(other.error().message == "the array has another shape");
  CHECK(other.error().value == "embeddings: 36 x 4");
  w.dimension = 4;
  std::ofstream(folder.path + "/pbg/model/embeddings_node_0.v1.h5") << "nothing";
  CHECK(!run(w, o, {}).ok());
  fs::remove(folder.path + "/pbg/model/checkpoint_version.txt");
  const auto none = run(w, o, {});
  REQUIRE(!none.ok());
  CHECK(none.error().where.find("checkpoint_version.txt") != std::string::npos);
}

}  // namespace
}  // namespace meshplan::graph
