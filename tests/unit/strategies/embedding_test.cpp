// SPDX-License-Identifier: Apache-2.0
// Graph workload files, bucket orders, lowering to rounds.
#include "strategies/embedding/plan_file.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan::graph {
namespace {

const char* kText = R"(
name: small
entities: {node: {count: 1000}}
relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]
dynamic_relations: true
dynamic_relation_count: 5
edges: 6400
dimension: 8
comparator: dot
loss: softmax
batch_negatives: 10
uniform_negatives: 20
operator_init_scale: 0.25
)";

Workload small() {
  auto w = parse_workload(kText, "small.yaml");
  REQUIRE(w.ok());
  return w.value();
}

int64_t loads(Order order, int partitions, int resident) {
  const auto schedule = make_schedule({order, partitions, resident});
  REQUIRE(schedule.ok());
  return loads_of(schedule.value());
}

TEST_CASE("a workload file is read, written and read again") {
  const Workload w = small();
  CHECK(w.bytes_per_row() == 4 * 8 + 4);
  CHECK(w.operator_parameters() == 2 * 5 * 8);
  const auto again = parse_workload(to_yaml(w), "again.yaml");
  REQUIRE(again.ok());
  CHECK(to_yaml(again.value()) == to_yaml(w));
}

TEST_CASE("what a workload file can't mean is refused with its key") {
  std::string odd = kText;
  odd.replace(odd.find("dimension: 8"), 12, "dimension: 9");
  const auto refused = parse_workload(odd, "odd.yaml");
  REQUIRE(!refused.ok());
  CHECK(refused.error().where == "odd.yaml: dimension");
  CHECK(refused.error().hint == "10");
  std::string typo = kText;
  typo.replace(typo.find("loss: softmax"), 13, "loss: softmux");
  CHECK(!parse_workload(typo, "typo.yaml").ok());
  const auto parquet =
      parse_workload(std::string(kText) + "data: {train: [edges.parquet]}\n", "p.yaml");
  REQUIRE(!parquet.ok());
  CHECK(parquet.error().kind == ErrorKind::missing);
}

TEST_CASE("BETA loads what Marius' formula says") {
  // Marius (OSDI 2021), section 4.2: swaps + the first c.
  CHECK(loads(Order::beta, 8, 4) == 13);
  CHECK(loads(Order::beta, 16, 4) == 46);
  CHECK(loads(Order::beta, 16, 8) == 25);
  CHECK(loads(Order::beta, 32, 8) == 86);
  for (const int p : {5, 9, 16, 31})
    for (const int c : {2, 3, 4}) CHECK(loads(Order::beta, p, c) == beta_swaps(p, c) + c);
}

TEST_CASE("every order trains every bucket once, and two partitions are the least that it holds") {
  for (const Order order : {Order::inside_out, Order::affinity, Order::beta})
    for (const int p : {2, 3, 8, 13}) {
      CHECK(make_schedule({order, p, 2}).ok());  // checked inside
      CHECK(loads(order, p, 2) >= p * (p - 1) / 2 + 1);
    }
  CHECK(make_schedule({Order::beta, 4, 1}).error().kind == ErrorKind::no_plan);
}

TEST_CASE("ranks hold no partition at the same time") {
  const auto halving = make_schedule({Order::halving, 8, 2, 4});
  REQUIRE(halving.ok());
  CHECK(halving->rounds.size() == 7);
  CHECK(loads_of(halving.value()) == 8);
  const auto cover = make_schedule({Order::cover, 16, 4, 4});
  REQUIRE(cover.ok());
  CHECK(cover->rounds.size() == 5);
  for (const int c : {2, 3, 5, 7, 8}) CHECK(make_schedule({Order::cover, c * c, c, c}).ok());
  CHECK(make_schedule({Order::cover, 36, 6, 6}).error().kind == ErrorKind::no_plan);
  CHECK(make_schedule({Order::halving, 6, 2, 3}).error().kind == ErrorKind::no_plan);
  CHECK(make_schedule({Order::beta, 8, 2, 2}).error().kind == ErrorKind::no_plan);
}

TEST_CASE("a pass loads and stores what its order says, and trains every edge") {
  const Workload w = small();
  GraphPlan plan{.order = Order::beta, .partitions = 8, .resident = 4, .home = Home::storage};
  const auto program = lower(w, plan, even_edges(w, plan), 1);
  REQUIRE(program.ok());
  int64_t loaded = 0, stored = 0, edges = 0;
  for (const GraphRound& round : program->ranks[0]) {
    for (const GraphStep& step : round.arrive)
      loaded += std::get<PartitionMove>(step.op.body).bytes;
    for (const GraphStep& step : round.leave) stored += std::get<PartitionMove>(step.op.body).bytes;
    for (const GraphStep& step : round.train) edges += std::get<BucketStep>(step.op.body).edges;
  }
  CHECK(loaded == 13 * 125 * 36);  // 125 rows of 36 bytes a partition
  CHECK(stored == loaded);
  CHECK(edges == 6400);
}

TEST_CASE("a plan stands beside its workload in a file, and is read back") {
  const auto w = parse_workload(R"(
entities: {node: {count: 4000}}
relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]
edges: 100
dimension: 8
)",
                                "w.yaml");
  REQUIRE(w.ok());
  PlannedWorkload planned{w.value(),
                          GraphPlan{.order = Order::halving,
                                    .partitions = 4,
                                    .resident = 2,
                                    .ranks = 2,
                                    .threads = 3,
                                    .home = Home::host,
                                    .prefetch = false,
                                    .compute = DType::bf16},
                          "1x2xH200"};
  planned.workload.data.train = {"edges.tsv"};
  const std::string text = to_yaml(planned);
  const auto back = parse_planned(text, "plan.yaml");
  REQUIRE(back.ok());
  CHECK(to_yaml(back.value()) == text);
  CHECK(back->machine == "1x2xH200");
  CHECK(back->plan->home == Home::host);
  CHECK(back->workload.data.train.front().front() == '/');
  // As a workload it is the same; what no plan can be is refused with its rule.
  CHECK(parse_workload(text, "plan.yaml")->dimension == 8);
  CHECK(!parse_planned(to_yaml(w.value()), "w.yaml")->plan);
  const auto wrong = [&](const std::string& from, const std::string& to) {
    std::string broken = text;
    broken.replace(broken.find(from), from.size(), to);
    const auto read = parse_planned(broken, "plan.yaml");
    REQUIRE(!read.ok());
    return read.error();
  };
  CHECK(wrong("order: halving", "order: halfing").hint.find("halving") != std::string::npos);
  CHECK(wrong("ranks: 2", "ranks: 0").kind == ErrorKind::input);
  CHECK(wrong("ranks: 2", "ranks: 4").kind == ErrorKind::no_plan);
  CHECK(wrong("resident: 2", "residents: 2").kind == ErrorKind::input);
}

}  // namespace
}  // namespace meshplan::graph
