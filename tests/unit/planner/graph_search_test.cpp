// SPDX-License-Identifier: Apache-2.0
#include "planner/graph/search.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan::graph {
namespace {

GraphQuestion question(const char* cluster) {
  auto w = parse_workload(R"(
entities: {node: {count: 86054151}}
relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]
dynamic_relations: true
dynamic_relation_count: 14824
edges: 304727650
dimension: 100
comparator: dot
loss: softmax
batch: 10000
batch_negatives: 500
uniform_negatives: 500
)",
                          "freebase86m.yaml");
  REQUIRE(w.ok());
  GraphQuestion q;
  q.workload = w.value();
  const auto machine = find_cluster(cluster);
  REQUIRE(machine.ok());
  auto rates = machine_of(machine.value(), 3e9);
  REQUIRE(rates.ok());
  q.machine = std::move(rates).value();
  return q;
}

TEST_CASE("a graph that fits one GPU is not partitioned") {
  const auto answer = search(question("1xH200"));
  REQUIRE(answer.ok());
  REQUIRE(!answer->plans.empty());
  CHECK(answer->plans.front().plan.partitions == 1);
  CHECK(answer->plans.front().fits);
  const Funnel& f = answer->funnel;
  int64_t refused = 0;
  for (const auto& [rule, n] : f.refused) refused += n;
  CHECK(f.visited == refused + f.out_of_memory + f.bounded + f.priced);
}

TEST_CASE("one that does not is, and bounds do not change the answer") {
  GraphQuestion q = question("1x1xV100");
  q.partitions.values = {8, 16, 32};
  q.resident.values = {2, 4};
  const auto bounded = search(q);
  q.bounds = false;
  const auto all = search(q);
  REQUIRE(bounded.ok());
  REQUIRE(all.ok());
  REQUIRE(!all->plans.empty());
  CHECK(all->funnel.bounded == 0);
  CHECK(bounded->plans.front().plan.partitions > 1);
  CHECK(bounded->funnel.bounded > 0);
  CHECK(brief(bounded->plans.front().plan) == brief(all->plans.front().plan));
  q.partitions.values = q.resident.values = {1};
  const auto none = search(q);
  REQUIRE(none.ok());
  REQUIRE(none->none);
  CHECK(none->none->rule == "memory");
  CHECK(none->none->needed_bytes > none->none->capacity_bytes);
}

}  // namespace
}  // namespace meshplan::graph
