// SPDX-License-Identifier: Apache-2.0
// Import, training, checkpoints and evaluation of small generated graphs.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "profiler/kernels/graph_random.hpp"
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/host_graph_device.hpp"
#include "validate/embedding/run.hpp"

namespace meshplan::graph {
namespace {

namespace fs = std::filesystem;

/// A folder with a graph of `clusters` groups of 10 entities: edges join entities of one group.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "graph-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  std::string write(const std::string& file, const std::string& text) const {
    std::ofstream(path + "/" + file) << text;
    return path + "/" + file;
  }
  std::string path;
};

std::string grouped_edges(uint64_t key, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<uint64_t>(i);
    const int64_t group = below(combine(key, 3 * at), 6), a = below(combine(key, 3 * at + 1), 10),
                  b = below(combine(key, 3 * at + 2), 10);
    text += "e" + std::to_string(group * 10 + a) + "\tr" + std::to_string(a % 2) + "\te" +
            std::to_string(group * 10 + b) + "\n";
  }
  return text;
}

Workload grouped(const Folder& folder) {
  auto w = parse_workload(R"(
entities: {node: {}}
relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]
dynamic_relations: true
dimension: 16
comparator: dot
loss: softmax
batch_negatives: 20
uniform_negatives: 20
batch: 40
learning_rate: 0.1
init_scale: 0.1
epochs: 4
)",
                          "grouped.yaml");
  REQUIRE(w.ok());
  w->data.train = {folder.write("train.tsv", grouped_edges(1, 900))};
  w->data.test = {folder.write("test.tsv", grouped_edges(2, 60))};
  return w.value();
}

RunAnswer ran(const Workload& w, const RunOptions& options) {
  auto answer = run(w, options, {});
  if (!answer.ok()) FAIL(render(answer.error()));
  return std::move(answer).value();
}

RunOptions options_of(int threads, int partitions, int resident, Order order = Order::beta,
                      int ranks = 1) {
  RunOptions o;
  o.plan = {.order = order, .partitions = partitions, .resident = resident, .ranks = ranks};
  if (resident < partitions) o.plan.home = Home::storage;
  o.threads = {threads, true};
  return o;
}

TEST_CASE("training learns, and any number of threads gives the same figures") {
  const Folder folder;
  const Workload w = grouped(folder);
  Workload none = w;
  none.epochs = 0;
  const RunAnswer before = ran(none, options_of(1, 1, 1));
  const RunAnswer one = ran(w, options_of(1, 1, 1));
  const RunAnswer three = ran(w, options_of(3, 1, 1));
  CHECK(one.evaluation->filtered.queries == 120);
  CHECK(one.evaluation->filtered.mrr > 2 * before.evaluation->filtered.mrr);
  CHECK(one.evaluation->filtered.mrr >= one.evaluation->raw.mrr);
  CHECK(one.passes.back().report.loss == three.passes.back().report.loss);
  CHECK(one.evaluation->filtered.mean_rank == three.evaluation->filtered.mean_rank);
}

TEST_CASE("partitions and ranks move what the plan says and hold what it says") {
  const Folder folder;
  const Workload w = grouped(folder);
  for (const RunOptions& o :
       {options_of(1, 4, 2), options_of(2, 8, 4), options_of(1, 4, 2, Order::inside_out),
        options_of(1, 4, 2, Order::halving, 2), options_of(1, 4, 2, Order::cover, 2)}) {
    const RunAnswer answer = ran(w, o);
    CAPTURE(brief(o.plan));
    CHECK(answer.traffic_equal);
    CHECK(answer.expected.loaded_bytes > 0);
    CHECK(answer.table_bytes <= answer.expected_table_bytes);
    CHECK(answer.passes.back().report.edges == 900);
    CHECK(answer.passes.back().report.loss < answer.passes.front().report.loss);
  }
}

TEST_CASE("a device follows the passes that threads follow, whatever moves") {
  const Folder folder;
  const Workload w = grouped(folder);
  std::atomic<int> made{0};
  const DeviceMaker maker = {[] { return Status(Done{}); },
                             [&](int) -> Result<std::unique_ptr<GraphDevice>> {
                               ++made;
                               return test::host_graph_device();
                             }};
  for (RunOptions o : {options_of(1, 1, 1), options_of(1, 4, 4), options_of(1, 4, 2),
                       options_of(1, 4, 2, Order::halving, 2)}) {
    CAPTURE(brief(o.plan));
    const RunAnswer threads = ran(w, o);
    o.device = maker;
    o.folder = folder.path + "/device" + std::to_string(made.load());
    Workload half = w;
    half.epochs = 2;
    ran(half, o);
    o.resume = true;
    const RunAnswer device = ran(w, o);
    CHECK(device.resumed_at == 2);
    CHECK(device.traffic_equal);
    CHECK(device.device == "CPU");
    CHECK(device.passes.back().report.edges == 900);
    CHECK(device.passes.back().report.loss ==
          Approx(threads.passes.back().report.loss).epsilon(1e-3));
    CHECK(device.evaluation->filtered.mrr == Approx(threads.evaluation->filtered.mrr).margin(0.01));
  }
  CHECK(made.load() == 10);  // one a rank and run
  Workload linear = w;
  linear.relations[0].op = Operator::linear;
  RunOptions o = options_of(1, 1, 1);
  o.device = maker;
  CHECK(run(linear, o, {}).error().rule == "graph-device");
  o.device->make = [](int) -> Result<std::unique_ptr<GraphDevice>> {
    return test::host_graph_device(1000);
  };
  CHECK(run(w, o, {}).error().rule == "graph-device-memory");
}

TEST_CASE("loaded rows by hand: places run through the partitions that are held") {
  Table low(2, 3), high(2, 3);
  LoadedRows rows;
  rows.add(low, 10, 2);   // entities 10, 11
  rows.add(high, 40, 2);  // 40, 41
  CHECK(rows.count() == 4);
  CHECK(rows.place_of(11) == 1);
  CHECK(rows.place_of(40) == 2);
  CHECK(rows.row(1) == low.values() + 3);
  CHECK(rows.row(2) == high.values());
  CHECK(rows.sum(3) == high.sums() + 1);
}

TEST_CASE("batches of several buckets: the same figures with any number of threads") {
  const Folder folder;
  Workload w = grouped(folder);
  w.operator_init_scale = 0.5;
  for (const int resident : {4, 2}) {
    const RunAnswer one = ran(w, options_of(1, 4, resident));
    const RunAnswer three = ran(w, options_of(3, 4, resident));
    CHECK(one.passes.back().report.loss == three.passes.back().report.loss);
    CHECK(one.evaluation->filtered.mrr == three.evaluation->filtered.mrr);
  }
}

TEST_CASE("operators begin as identities or as deviates of their own") {
  const Folder folder;
  Workload w = grouped(folder);
  w.dynamic_count = 2;
  CHECK(initial_parameters(w, 1).rhs[0].values == initial_parameters(w, 2).lhs[0].values);
  w.operator_init_scale = 0.5;
  const SharedParameters drawn = initial_parameters(w, 1);
  CHECK(drawn.rhs[0].values == initial_parameters(w, 1).rhs[0].values);
  CHECK(drawn.rhs[0].values != initial_parameters(w, 2).rhs[0].values);
  CHECK(drawn.rhs[0].values != drawn.lhs[0].values);
  double square = 0;
  for (const ParameterTable* table : drawn.all())
    for (const float value : table->values)
      square += static_cast<double>(value) * static_cast<double>(value);
  CHECK(square / 64 == Approx(0.25).epsilon(0.5));  // 2 sides, 2 relations, 16 values
}

TEST_CASE("a resumed run is the run that was not interrupted") {
  const Folder folder;
  Workload w = grouped(folder);
  for (const int resident : {4, 2}) {
    RunOptions o = options_of(1, 4, resident);
    const RunAnswer whole = ran(w, o);
    o.folder = folder.path + "/state" + std::to_string(resident);
    w.epochs = 2;
    ran(w, o);
    // What a killed pass leaves behind: files of the next version, half a file.
    folder.write("state" + std::to_string(resident) + "/rows_0_1.v3.bin", "half");
    folder.write("state" + std::to_string(resident) + "/rows_0_0.v3.bin.part", "half");
    w.epochs = 4;
    o.resume = true;
    const RunAnswer rest = ran(w, o);
    CHECK(rest.resumed_at == 2);
    CHECK(rest.passes.size() == 2);
    CHECK(rest.passes.back().report.loss == whole.passes.back().report.loss);
    CHECK(rest.evaluation->filtered.mrr == whole.evaluation->filtered.mrr);
    o.seed = 2;
    CHECK(run(w, o, {}).error().kind == ErrorKind::input);
    o.seed = 1;
    fs::resize_file(o.folder + "/rows_0_0.v4.bin", 100);
    w.epochs = 5;
    CHECK(run(w, o, {}).error().message == "is truncated");
    w.epochs = 4;
  }
}

TEST_CASE("a folder has one run at a time, and one that cannot be made is an error") {
  const Folder folder;
  const Workload w = grouped(folder);
  RunOptions o = options_of(1, 4, 2);
  o.folder = folder.path + "/state";
  ran(w, o);
  const int held = ::open((o.folder + "/LOCK").c_str(), O_RDWR);
  REQUIRE(::flock(held, LOCK_EX | LOCK_NB) == 0);  // free after the run
  CHECK(run(w, o, {}).error().message == "another run is using the folder");
  ::close(held);
  ran(w, o);
  o.folder = folder.write("file", "") + "/state";
  CHECK(run(w, o, {}).error().kind == ErrorKind::input);
}

TEST_CASE("broken input is named with its line") {
  const Folder folder;
  Workload w = grouped(folder);
  w.data.train = {folder.write("broken.tsv", "a\tr\tb\na\tr\nc\tr\td\n")};
  auto graph = import_graph(w, {});
  REQUIRE(!graph.ok());
  CHECK(graph.error().where == folder.path + "/broken.tsv:2");
  w.data.train = {folder.write("good.tsv", "a\tr\tb\n\na\tr\tunknown\n")};
  w.entities[0].names_file = folder.write("names.txt", "a\nb\n");
  graph = import_graph(w, {});
  REQUIRE(!graph.ok());
  CHECK(graph.error().where == folder.path + "/good.tsv:3");
  CHECK(graph.error().value == "unknown");
  w.data.train = {folder.path + "/absent.tsv"};
  CHECK(import_graph(w, {}).error().kind == ErrorKind::input);
}

TEST_CASE("an import is the same with any number of threads, weights are not rounded") {
  const Folder folder;
  Workload w = grouped(folder);
  std::string text;
  for (int i = 0; i < 30000; ++i)
    text += "name" + std::to_string(below(mix64(static_cast<uint64_t>(i)), 5000)) + "\tr" +
            std::to_string(i % 7) + "\tother" + std::to_string(i % 900) + "\t" +
            std::to_string(i % 4) + ".25\n";
  w.data.train = {folder.write("many.tsv", text)};
  w.data.test = {};
  w.data.weight_column = 3;
  const auto one = import_graph(w, {1, 1}), four = import_graph(w, {4, 1});
  REQUIRE(one.ok());
  REQUIRE(four.ok());
  CHECK(one->train.size() == 30000);
  CHECK(one->train.lhs == four->train.lhs);
  CHECK(one->train.relation == four->train.relation);
  CHECK(one->train.rhs == four->train.rhs);
  CHECK(one->train.weight[3] == 3.25F);
  CHECK(one->entities[0][one->train.lhs[0]] == "name" + std::to_string(below(mix64(0), 5000)));
}

TEST_CASE("typed relations, weights, features, global vectors and a bias train") {
  const Folder folder;
  auto w = parse_workload(R"(
entities: {user: {partitions: 1}, item: {}}
relations:
  - {name: likes, lhs: user, rhs: item, operator: translation}
  - {name: near, lhs: item, rhs: item, operator: affine, weight: 0.5}
dimension: 9
comparator: cos
loss: ranking
margin: 0.2
batch_negatives: 8
uniform_negatives: 0
batch: 16
global_embedding: true
bias: true
max_norm: 2
init_scale: 0.3
epochs: 5
)",
                          "typed.yaml");
  REQUIRE(w.ok());
  std::string edges, features;
  for (int i = 0; i < 200; ++i)
    edges += "u" + std::to_string(i % 20) + "\tlikes\ti" + std::to_string(i % 10) + "\t0.5\ni" +
             std::to_string(i % 10) + "\tnear\ti" + std::to_string((i + 1) % 10) + "\t1\n";
  for (int i = 0; i < 20; ++i)
    features += "u" + std::to_string(i) + "\tf" + std::to_string(i % 3) + " g\n";
  w->data.train = w->data.test = {folder.write("edges.tsv", edges)};
  w->data.weight_column = 3;
  w->entities[0].features_file = folder.write("features.tsv", features);
  const RunAnswer answer = ran(w.value(), options_of(2, 1, 1));
  CHECK(answer.workload.entities[0].features == 4);
  CHECK(answer.passes.back().report.edges == 400);
  CHECK(answer.passes.back().report.loss < answer.passes.front().report.loss);
}

TEST_CASE("exported rows are the trained ones, with their names") {
  const Folder folder;
  const Workload w = grouped(folder);
  RunOptions o = options_of(1, 1, 1);
  o.export_tsv = folder.path + "/tsv";
  o.export_npy = folder.path + "/npy";
  ran(w, o);
  std::ifstream text(o.export_tsv + "/entities.tsv");
  std::ifstream names(o.export_npy + "/names_node.txt");
  std::ifstream array(o.export_npy + "/embeddings_node.npy", std::ios::binary);
  std::string header(128, ' ');
  array.read(header.data(), 128);
  CHECK(header.substr(1, 5) == "NUMPY");
  CHECK(header.find("'shape': (60, 16)") != std::string::npos);
  CHECK(header.back() == '\n');
  int rows = 0;
  for (std::string line, name; std::getline(text, line) && std::getline(names, name); ++rows) {
    std::istringstream cells(line);
    std::string cell;
    cells >> cell;
    CHECK(cell == name);
    for (int c = 0; c < 16; ++c) {
      float value = 0;
      array.read(reinterpret_cast<char*>(&value), sizeof(value));
      cells >> cell;
      CHECK(std::stof(cell) == value);
    }
  }
  CHECK(rows == 60);
  std::ifstream relations(o.export_tsv + "/relations.tsv");
  int operators = 0;
  for (std::string line; std::getline(relations, line);) ++operators;
  CHECK(operators == 4);  // two relations, two sides
}

TEST_CASE("ranks by hand: ties count by their policy, the filter takes known answers away") {
  // One relation, dimension 1, score x * y. Entities 3, 2, 2, 1; the edge 0 -> 1.
  Workload w;
  w.entities.push_back({.name = "n", .count = 4});
  w.relations.push_back({.name = "r"});
  w.dimension = 1;
  w.comparator = Comparator::dot;
  Graph graph;
  graph.entities.emplace_back(std::vector<std::string_view>{"a", "b", "c", "d"});
  graph.features.emplace_back();
  Table table(4, 1);
  const float values[] = {3, 2, 2, 1};
  std::copy_n(values, 4, table.values());
  Edges asked, known;
  asked.lhs = {0};
  asked.relation = {0};
  asked.rhs = {1};
  known.lhs = {0};
  known.relation = {0};
  known.rhs = {0};
  const SharedParameters parameters = initial_parameters(w, 1);
  EvaluateOptions o;
  // Right end: scores 9, 6, 6, 3: rank 2, one tie. Left end (y = 2): 6, 4, 4, 2: rank 1.
  o.ties = Ties::optimistic;
  CHECK(evaluate(w, graph, {&table}, parameters, asked, {}, o).raw.mean_rank == 1.5);
  o.ties = Ties::pessimistic;
  CHECK(evaluate(w, graph, {&table}, parameters, asked, {}, o).raw.mean_rank == 2);
  o.ties = Ties::realistic;
  const Evaluation e = evaluate(w, graph, {&table}, parameters, asked, {&known}, o);
  CHECK(e.raw.mean_rank == (2.5 + 1) / 2);
  CHECK(e.filtered.mean_rank == (1.5 + 1) / 2);  // 0 -> 0 is an edge
}

}  // namespace
}  // namespace meshplan::graph
