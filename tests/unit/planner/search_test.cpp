// SPDX-License-Identifier: Apache-2.0
#include "planner/search/search.hpp"

#include "costmodel/step/estimate.hpp"
#include "planner/search/axes.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

SearchQuestion question(const char* model, const char* cluster) {
  return {*find_model(model), *find_cluster(cluster), Batch{8192, 256}, *default_trainer()};
}

int64_t refused(const Funnel& funnel) {
  int64_t sum = 0;
  for (const auto& [rule, count] : funnel.refused) sum += count;
  return sum;
}

}  // namespace

TEST_CASE("bounds do not change the best plan on a space of 100,000 plans") {
  SearchQuestion q = question("llama3-8b", "64xH100");
  q.cp.values = {1, 2};
  q.pp.values = {1, 2, 4};
  const auto bounded = search(q);
  q.bounds = false;
  const auto all = search(q);
  REQUIRE(bounded.ok());
  REQUIRE(all.ok());
  CHECK(all->funnel.covered >= 100'000);
  CHECK(bounded->funnel.covered == all->funnel.covered);
  CHECK(bounded->funnel.priced < all->funnel.priced);
  CHECK(all->funnel.bounded == 0);
  REQUIRE_FALSE(all->plans.empty());
  CHECK(to_text(bounded->plans.front().plan) == to_text(all->plans.front().plan));
  CHECK(bounded->plans.front().step_s == all->plans.front().step_s);
}

TEST_CASE("the answer does not depend on the number of threads, and the funnel adds up") {
  SearchQuestion q = question("70B", "512xH100");
  q.threads = 1;
  const auto one = search(q);
  q.threads = 3;
  const auto three = search(q);
  REQUIRE(one.ok());
  REQUIRE(three.ok());
  CHECK(one->funnel.visited == three->funnel.visited);
  CHECK(one->funnel.priced == three->funnel.priced);
  REQUIRE(one->plans.size() == three->plans.size());
  for (size_t i = 0; i < one->plans.size(); ++i) {
    CHECK(to_text(one->plans[i].plan) == to_text(three->plans[i].plan));
    CHECK(one->plans[i].step_s == three->plans[i].step_s);
  }
  const Funnel& f = one->funnel;
  CHECK(f.visited == refused(f) + f.out_of_memory + f.bounded + f.priced);
  CHECK(f.covered >= f.visited);
}

TEST_CASE("405B on 8 GPUs: no plan, and by how much memory is missing") {
  const auto result = search(question("llama3-405b", "8xH100"));
  REQUIRE(result.ok());
  CHECK(result->plans.empty());
  REQUIRE(result->none.has_value());
  CHECK(result->none->rule == "memory");
  CHECK(result->none->needed_bytes > result->none->capacity_bytes);
}

TEST_CASE("where memory forces recompute, some layers do if the trainer can say so") {
  SearchQuestion q = question("llama3-8b", "8xH100");
  q.tp.values = q.pp.values = q.cp.values = q.zero.values = q.micro_batch.values = {1};
  q.optimizer_offload = false;
  q.trainer.recompute_limited = true;  // whole layers or nothing
  q.trainer.recompute_units.clear();
  const auto best = [&] { return search(q)->plans.at(0); };
  const auto needs = [&](Recompute kind) {
    q.recompute = {kind};
    const StepEstimate plan = best();
    CHECK(plan.plan.recompute_layers == -1);
    return plan.peak_memory_bytes;
  };
  q.cluster.gpu.memory_usable_bytes *= 4;
  const int64_t none = needs(Recompute::none), full = needs(Recompute::full);
  REQUIRE(full < none);
  q.recompute.clear();
  q.cluster.gpu.memory_usable_bytes = (none + full) / 2;
  const StepEstimate some = best();
  CHECK(some.plan.recompute == Recompute::full);
  CHECK(some.plan.recompute_layers > 0);
  CHECK(some.plan.recompute_layers < 32);
  q.trainer.recompute_some_layers.clear();
  const StepEstimate all = best();
  CHECK(all.plan.recompute_layers == -1);
  CHECK(some.step_s < all.step_s);
}

TEST_CASE("constraints are obeyed") {
  SearchQuestion q = question("llama3-8b", "64xH100");
  q.tp.values = {4};
  q.pp.first = 2;
  q.pp.last = 4;
  q.recompute = {Recompute::none};
  const auto result = search(q);
  REQUIRE(result.ok());
  REQUIRE_FALSE(result->plans.empty());
  for (const StepEstimate& plan : result->plans) {
    CHECK(plan.plan.tp == 4);
    CHECK(plan.plan.pp >= 2);
    CHECK(plan.plan.pp <= 4);
    CHECK(plan.plan.recompute == Recompute::none);
    double time = 0, memory = 0;
    for (const Part& part : plan.time) time += part.value;
    for (const Part& part : plan.memory) memory += part.value;
    CHECK(time == Approx(plan.step_s));
    CHECK(memory == Approx(static_cast<double>(plan.peak_memory_bytes)));
    CHECK(plan.fits);
  }
}

TEST_CASE("priced blocks and plans of another number of GPUs do not change the answer") {
  SearchMemory memory;
  SearchQuestion q = question("70B", "64xH100");
  for (const int64_t gpus : {64, 128, 512}) {
    q.cluster = *with_gpus(q.cluster, gpus);
    q.seeds.clear();
    const auto alone = search(q);
    const auto first = search(q, memory);
    REQUIRE(first.ok());
    q.seeds = first->finalists;
    const auto again = search(q, memory);
    REQUIRE(alone.ok());
    REQUIRE(again.ok());
    CHECK(again->funnel.priced <= alone->funnel.priced);
    CHECK(again->funnel.covered == alone->funnel.covered);
    REQUIRE(again->plans.size() == alone->plans.size());
    for (size_t i = 0; i < alone->plans.size(); ++i)
      CHECK(to_text(again->plans[i].plan) == to_text(alone->plans[i].plan));
    CHECK(again->plans.front().step_s == alone->plans.front().step_s);
  }
}
