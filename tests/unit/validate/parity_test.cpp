// SPDX-License-Identifier: Apache-2.0
// Every axis against one rank: losses, gradients, ledger, memory.
#include "tests/unit/validate/parity.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan {
namespace {

using test::Comparison;
using test::fp32_plan;

RunOptions options() {
  RunOptions out;
  out.steps = 3;
  out.initial.deviation = 0.1;
  out.adamw.learning_rate = 1e-3;
  return out;
}

void check(const Plan& plan, const Model& model = test::small_llama(),
           const Trainer& trainer = test::fp32_trainer(), const RunOptions& with = options()) {
  INFO(to_text(plan));
  const Result<Comparison> result = test::compare(model, plan, trainer, with);
  if (!result.ok()) FAIL(render(result.error()));
  INFO(result->note << " worst " << result->worst);
  CHECK(result->loss < 1e-6);
  CHECK(result->norm < 1e-5);
  CHECK(result->gradients < 1e-5);
  CHECK(result->later_losses < 1e-4);
  CHECK(result->ledger);
  CHECK(result->memory);
}

TEST_CASE("one rank trains") {
  RunOptions with = options();
  with.steps = 20;
  const Result<RunReport> report =
      test::run(test::small_llama(), fp32_plan(), test::fp32_trainer(), with);
  REQUIRE(report.ok());
  CHECK(report->steps.front().loss == Approx(std::log(100.0)).epsilon(0.05));
  CHECK(report->steps.back().loss < report->steps.front().loss - 0.1);
  check(fp32_plan());
}

TEST_CASE("tensor parallelism, with and without sequences") {
  for (const int tp : {2, 4}) {
    for (const bool sp : {true, false}) {
      Plan plan = fp32_plan();
      plan.tp = tp;
      plan.sequence_parallel = sp;
      check(plan);
    }
  }
}

TEST_CASE("data parallelism and its sharding") {
  for (const int zero : {0, 1, 2, 3}) {
    for (const int replicate : {1, 2}) {
      Plan plan = fp32_plan();
      plan.dp_shard = 2;
      plan.dp_replicate = replicate;
      plan.zero = zero;
      check(plan);
    }
  }
}

TEST_CASE("pipeline schedules") {
  for (const ScheduleKind kind :
       {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::zb_h1}) {
    Plan plan = fp32_plan();
    plan.pp = 4;
    plan.schedule = kind;
    check(plan);
  }
  Plan plan = fp32_plan();
  plan.pp = plan.vpp = 2;
  plan.schedule = ScheduleKind::interleaved;
  check(plan);
  plan.schedule = ScheduleKind::zb_v;
  check(plan);
}

TEST_CASE("context parallelism by gathering and by ring") {
  for (const ContextParallel kind : {ContextParallel::all_gather, ContextParallel::ring}) {
    Plan plan = fp32_plan();
    plan.cp = 2;
    plan.cp_kind = kind;
    check(plan);
    plan.cp = 4;
    plan.micro_batch = 2;
    check(plan);
  }
}

}  // namespace
}  // namespace meshplan
