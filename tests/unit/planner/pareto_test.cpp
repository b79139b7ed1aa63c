// SPDX-License-Identifier: Apache-2.0
#include "planner/search/pareto.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("less memory costs time: the Pareto set falls in memory, rises in time, fits") {
  SearchQuestion q{*find_model("llama3-8b"), *find_cluster("2x8xH100"), Batch{8192, 64},
                   *default_trainer()};
  q.cp.values = {1};
  q.pp.values = {1, 2};
  const auto best = search(q);
  REQUIRE(best.ok());
  REQUIRE_FALSE(best->plans.empty());
  const auto front = pareto_set(q, best->plans.front());
  REQUIRE(front.ok());
  REQUIRE(front->size() > 2);
  for (size_t i = 0; i < front->size(); ++i) {
    const StepEstimate& plan = (*front)[i];
    CHECK(plan.capacity_bytes == best->plans.front().capacity_bytes);
    CHECK(plan.step_s <= kParetoSlowest * best->plans.front().step_s);
    if (i == 0) continue;
    CHECK(plan.step_s > (*front)[i - 1].step_s);
    CHECK(static_cast<double>(plan.peak_memory_bytes) <=
          kParetoStep * static_cast<double>((*front)[i - 1].peak_memory_bytes));
  }
  // What the set says of a smaller GPU is what a search on it says.
  const StepEstimate& last = front->back();
  q.cluster.gpu.memory_usable_bytes = last.peak_memory_bytes;
  const auto smaller = search(q);
  REQUIRE(smaller.ok());
  REQUIRE_FALSE(smaller->plans.empty());
  CHECK(smaller->plans.front().step_s == last.step_s);
}

TEST_CASE(
    "a search that keeps memory free finds what a smaller GPU would, and says the GPU's own size") {
  SearchQuestion q{*find_model("llama3-8b"), *find_cluster("2x8xH100"), Batch{8192, 64},
                   *default_trainer()};
  q.cp.values = {1};
  q.pp.values = {1, 2};
  const int64_t whole = q.cluster.gpu.memory_usable_bytes;
  q.keep_free_percent = 60;
  const auto kept = search(q);
  REQUIRE(kept.ok());
  REQUIRE_FALSE(kept->plans.empty());
  CHECK(kept->keep_free_percent == 60);
  for (const StepEstimate& plan : kept->plans) {
    CHECK(plan.capacity_bytes == whole);
    CHECK(plan.peak_memory_bytes <= whole * 40 / 100);
  }
  q.keep_free_percent = 0;
  const auto all = search(q);
  REQUIRE(all.ok());
  CHECK(all->plans.front().peak_memory_bytes > whole * 40 / 100);
  q.cluster.gpu.memory_usable_bytes = whole * 40 / 100;
  const auto small = search(q);
  REQUIRE(small.ok());
  CHECK(to_text(small->plans.front().plan) == to_text(kept->plans.front().plan));
}
