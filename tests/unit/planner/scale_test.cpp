// SPDX-License-Identifier: Apache-2.0
#include "planner/scale/scale.hpp"

#include "planner/report/plot.hpp"
#include "planner/scale/render.hpp"
#include "planner/scale/size.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

ScaleQuestion question(const char* model, const char* cluster, std::vector<int64_t> gpus) {
  ScaleQuestion q{
      {*find_model(model), *find_cluster(cluster), Batch{4096, 256}, *default_trainer()}};
  q.gpus = std::move(gpus);
  q.label = "test";
  return q;
}

/// A curve with these tokens per second; every GPU draws 1 kW and costs 1 USD an hour.
ScaleCurve curve_of(const std::vector<std::pair<int64_t, double>>& points) {
  ScaleCurve curve;
  for (const auto& [gpus, tokens_per_s] : points) {
    ScalePoint point;
    point.gpus = gpus;
    point.batch = {1000, 100};
    ScaledPlan plan;
    plan.tokens_per_s = tokens_per_s;
    plan.power.facility_w = 1000;
    plan.usd_per_hour = static_cast<double>(gpus);
    point.best = plan;
    curve.points.push_back(std::move(point));
  }
  return curve;
}

}  // namespace

TEST_CASE("marginals and knee by hand") {
  // 8 GPUs: 100 each. 16: the 8 new ones add 90 each. 32: 16 add 60 each. 64: 32 add 30 each.
  ScaleCurve curve = curve_of({{8, 800}, {16, 1520}, {32, 2480}, {64, 3440}});
  ScaleInputs inputs;
  inputs.knee_share = 0.5;
  derive(curve, inputs);
  CHECK_FALSE(curve.points[0].marginal.has_value());
  CHECK(curve.points[1].marginal->share == Approx(0.9));
  CHECK(curve.points[2].marginal->share == Approx(0.6));
  CHECK(curve.points[3].marginal->share == Approx(0.3));
  REQUIRE(curve.knee.has_value());
  CHECK(*curve.knee == 3);
  CHECK(curve.points[1].marginal->tokens_per_joule == Approx(0.09));  // 720 / (8 x 1000 W)
  CHECK(curve.points[1].marginal->tokens_per_usd == Approx(720.0 * 3600 / 8));
  CHECK_FALSE(curve.sequences_end.has_value());  // 100 sequences are more than 64 GPUs
}

TEST_CASE("a point without a plan is passed over") {
  ScaleCurve curve = curve_of({{8, 800}, {16, 0}, {32, 2480}, {128, 3000}});
  curve.points[1].best.reset();
  derive(curve, {});
  CHECK_FALSE(curve.points[1].marginal.has_value());
  CHECK(curve.points[2].marginal->share == Approx(1680.0 / 24 / 100));
  REQUIRE(curve.sequences_end.has_value());
  CHECK(*curve.sequences_end == 3);
}

TEST_CASE("each point is what plan answers; baselines are what they are called") {
  const auto inputs = load_scale_inputs();
  REQUIRE(inputs.ok());
  SearchMemory memory;
  const ScaleQuestion q = question("llama3-8b", "H100", {8, 16, 64});
  const auto curve = scale(q, *inputs, memory);
  REQUIRE(curve.ok());
  REQUIRE(curve->points.size() == 3);
  for (const ScalePoint& point : curve->points) {
    SearchQuestion alone = q.search;
    alone.cluster = *with_gpus(alone.cluster, point.gpus);
    const auto plan = search(alone);
    REQUIRE(plan.ok());
    REQUIRE(point.best.has_value());
    const StepEstimate& best = point.best->step;
    CHECK(best.step_s == plan->plans.front().step_s);
    CHECK(to_text(best.plan) == to_text(plan->plans.front().plan));
    // Hidden and exposed time are both there, and exposed time is part of the step.
    double exposed = 0, listed = 0;
    for (const AxisTime& axis : point.best->communication) {
      exposed += axis.exposed_s;
      CHECK(axis.hidden_s >= 0);
    }
    for (const Part& part : best.time)
      if (part.name.find("exposed") != std::string::npos) listed += part.value;
    CHECK(exposed == Approx(listed));
    REQUIRE(point.baselines.size() == baselines().size());
    REQUIRE(point.baselines[0].has_value());
    const Plan& fsdp = point.baselines[0]->step.plan;
    CHECK(fsdp.zero == 3);
    CHECK(fsdp.dp_shard == point.gpus);
    CHECK(point.baselines[2]->step.plan.tp == 4);
    // No fixed way beats the best one by more than a tie.
    for (const auto& one : point.baselines)
      if (one) CHECK(one->step.step_s * 1.03 > best.step_s);
  }
}

TEST_CASE("weak scaling keeps the sequences of a GPU") {
  const auto inputs = load_scale_inputs();
  SearchMemory memory;
  ScaleQuestion q = question("llama3-8b", "H100", {8, 32});
  q.search.batch.global_sequences = 16;
  q.scaling = Scaling::weak;
  ScaleInputs alone = *inputs;
  alone.with_baselines = false;
  alone.critical_batch_tokens = 100'000;
  const auto curve = scale(q, alone, memory);
  REQUIRE(curve.ok());
  CHECK(curve->points[1].batch.global_sequences == 64);
  CHECK_FALSE(curve->points[0].above_critical_batch);  // 65,536 tokens
  CHECK(curve->points[1].above_critical_batch);
}

TEST_CASE("what no cluster can have is a point without a plan") {
  const auto inputs = load_scale_inputs();
  SearchMemory memory;
  const auto curve = scale(question("llama3-8b", "H100", {12}), *inputs, memory);
  REQUIRE(curve.ok());
  CHECK_FALSE(curve->points[0].best.has_value());
  CHECK(curve->points[0].why_none.find("8 GPUs") != std::string::npos);
}

TEST_CASE("the smallest cluster meets the target and the next smaller one does not") {
  const auto inputs = load_scale_inputs();
  SearchMemory memory;
  SizeQuestion q{
      {*find_model("llama3-8b"), *find_cluster("H100"), Batch{8192, 512}, *default_trainer()}};
  q.days = 20;
  q.batch_stated = true;
  ScaleInputs tokens = *inputs;
  tokens.tokens = 1e12;
  const auto answer = size_for(q, tokens, memory);
  REQUIRE(answer.ok());
  REQUIRE(answer->chosen.has_value());
  REQUIRE(answer->safe.has_value());
  const double target = 20 * 86'400.0;
  CHECK(answer->tried[*answer->chosen].best->train_s <= target);
  CHECK(answer->tried[*answer->safe].best->train_high_s <= target);
  CHECK(*answer->safe >= *answer->chosen);
  for (size_t i = 0; i < *answer->chosen; ++i)
    if (answer->tried[i].best) CHECK(answer->tried[i].best->train_s > target);
}

TEST_CASE("where one GPU is enough, nothing smaller is tried") {
  const auto inputs = load_scale_inputs();
  SearchMemory memory;
  SizeQuestion q{{llama_of_size(1e9), *find_cluster("H100"), Batch{2048, 256}, *default_trainer()}};
  q.days = 30;
  q.batch_of = [](int64_t, int64_t gpus) {
    CHECK(gpus >= 1);
    return int64_t{256};
  };
  ScaleInputs tokens = *inputs;
  tokens.tokens = 1e10;
  const auto answer = size_for(q, tokens, memory);
  REQUIRE(answer.ok());
  REQUIRE(answer->chosen.has_value());
  CHECK(answer->tried.front().gpus == 1);
  CHECK(*answer->chosen == 0);
}

TEST_CASE("a plot in letters") {
  const std::string out =
      report::plot("title", {{'*', "best", {{8, 100}, {16, 50}, {32, 25}}}}, 60, 9);
  CHECK(out.find("100 |*\n") != std::string::npos);
  CHECK(out.find("* best") != std::string::npos);
  CHECK(report::plot("none", {}).empty());
}
