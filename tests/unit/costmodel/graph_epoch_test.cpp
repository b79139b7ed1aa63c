// SPDX-License-Identifier: Apache-2.0
// Epochs of small graph workloads on a machine with round prices, against sums by hand.
#include "costmodel/graph/epoch.hpp"
#include "costmodel/step/bucket_price.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan::graph {
namespace {

/// A second per edge, a second per partition that moves, nothing for shared parameters.
GraphMachine seconds_machine(double train_s) {
  GraphMachine out;
  out.devices = out.devices_per_node = 8;
  out.device_bytes = 1 << 30;
  out.is_cpu = true;
  out.pricer = [train_s](const Workload&, const GraphPlan&) -> Result<GraphMachine::Pricer> {
    return GraphMachine::Pricer([train_s](const Op& op) {
      OpTime time;
      if (const auto* bucket = std::get_if<BucketStep>(&op.body))
        time.products_s = train_s * static_cast<double>(bucket->edges);
      else if (std::holds_alternative<PartitionMove>(op.body))
        time.move_s = 1;
      return time;
    });
  };
  return out;
}

Workload one_sided() {
  auto w = parse_workload(R"(
entities: {user: {count: 300}, item: {count: 10, partitions: 1}}
relations: [{name: likes, lhs: user, rhs: item}]
edges: 3
dimension: 8
)",
                          "one_sided.yaml");
  REQUIRE(w.ok());
  return w.value();
}

double epoch_of(const Workload& w, const GraphPlan& plan, double train_s) {
  const auto e = estimate_epoch(w, plan, seconds_machine(train_s));
  REQUIRE(e.ok());
  double sum = 0, memory = 0;
  for (const Part& part : e->time) sum += part.value;
  for (const Part& part : e->memory) memory += part.value;
  CHECK(sum == Approx(e->epoch_s));
  CHECK(memory == static_cast<double>(e->peak_memory_bytes));
  CHECK(least_memory(w, plan, seconds_machine(train_s)) <= e->peak_memory_bytes);
  const auto price = seconds_machine(train_s).pricer(w, plan);
  CHECK(least_epoch_s(w, plan, price.value()) <= e->epoch_s);
  return e->epoch_s;
}

TEST_CASE("partitions move beside the training of others") {
  GraphPlan plan{.partitions = 3, .resident = 1, .home = Home::storage};
  // Load; three rounds of one edge beside load, store and load, store; store.
  CHECK(epoch_of(one_sided(), plan, 3) == Approx(1 + 3 + 3 + 3 + 1));
  CHECK(epoch_of(one_sided(), plan, 0.5) == Approx(1 + 1 + 2 + 1 + 1));
  plan.prefetch = false;
  CHECK(epoch_of(one_sided(), plan, 3) == Approx(3 * (1 + 3 + 1)));
  Workload twice = one_sided();
  twice.passes_per_epoch = 3;  // of one edge each, in a round of its own
  CHECK(epoch_of(twice, plan, 3) == Approx(3 * 3 * (1 + 1) + 3 * 3));
}

TEST_CASE("ranks exchange one partition a round and wait for the slowest") {
  auto w = parse_workload(R"(
entities: {node: {count: 400}}
relations: [{name: all, lhs: node, rhs: node}]
edges: 16
dimension: 8
)",
                          "ranks.yaml");
  REQUIRE(w.ok());
  const GraphPlan plan{
      .order = Order::halving, .partitions = 4, .resident = 2, .ranks = 2, .home = Home::storage};
  // Two loads, 16 buckets of an edge on two ranks, two rounds with an exchange, two stores.
  CHECK(epoch_of(w.value(), plan, 1) == Approx(2 + 8 + 2 + 2));
  const auto uneven =
      estimate_epoch(w.value(), plan, seconds_machine(1), [](const BucketId& bucket) {
        return bucket == BucketId{0, 0} ? int64_t{16} : int64_t{0};
      });
  REQUIRE(uneven.ok());
  CHECK(uneven->epoch_s == Approx(2 + 16 + 2 + 2));
  double idle = 0;
  for (const Part& part : uneven->time)
    if (part.name == "idle") idle = part.value;
  CHECK(idle == Approx(8));  // one of two ranks for 16 s
}

TEST_CASE("a bucket on a GPU is its products, scores and rows") {
  const auto cluster = find_cluster("1xH200");
  REQUIRE(cluster.ok());
  const auto machine = machine_of(cluster.value(), 1e9);
  REQUIRE(machine.ok());
  const auto price = machine->pricer({}, {});
  REQUIRE(price.ok());
  const auto seconds = [&](BucketStep step) {
    return price.value()({step, Module::embedding, {}, {}}).seconds();
  };
  BucketStep step{.edges = 1'000'000,
                  .batch = 50'000,
                  .chunk = 500,
                  .uniform = 500,
                  .dimension = 400,
                  .sides = 2,
                  .parameters = 800,
                  .in = DType::bf16};
  const double once = seconds(step);
  // 4.8 MFLOP an edge at the dense peak is the least that it can take.
  CHECK(once > 1e6 * 4.8e6 / 989.4e12);
  step.edges *= 2;
  CHECK(seconds(step) == Approx(2 * once).epsilon(0.01));
  const OpTime disk =
      price.value()({PartitionMove{true, 2'000'000'000, Tier::storage}, Module::state, {}, {}});
  CHECK(disk.move_s == Approx(2));
}

}  // namespace
}  // namespace meshplan::graph
