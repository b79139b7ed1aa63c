// SPDX-License-Identifier: Apache-2.0
// Plans in bf16 with fp32 masters: the types, bytes and memory of the plan, the numbers of fp32
// within what rounding does.
#include <cmath>

#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"
#include "validate/execute/eight_bit.hpp"

namespace meshplan {
namespace {

using test::Comparison;

RunOptions options(int64_t steps) {
  RunOptions out;
  out.steps = steps;
  out.initial.deviation = 0.1;
  out.adamw.learning_rate = 1e-3;
  return out;
}

Plan bf16_plan() {
  Plan plan;
  plan.compute = DType::bf16;
  return plan;
}

/// bf16 keeps 8 bits: 2^-9 = 0.2 % of rounding in each of some tens of operations of a layer.
void check(const Plan& plan, const Trainer& trainer = test::fp32_trainer()) {
  INFO(to_text(plan));
  const Result<Comparison> result = test::compare(test::small_llama(), plan, trainer, options(20));
  if (!result.ok()) FAIL(render(result.error()));
  INFO(result->note << " worst " << result->worst);
  CHECK(result->loss < 2e-3);
  CHECK(result->loss > 0);  // it is not the fp32 run
  CHECK(result->norm < 2e-2);
  CHECK(result->gradients < 5e-2);
  CHECK(result->later_losses < 5e-3);
  CHECK(result->ledger);
  CHECK(result->memory);
}

TEST_CASE("bf16 on one rank follows fp32 within half a percent over 20 steps") {
  check(bf16_plan());
  Plan plan = bf16_plan();
  plan.gradient = DType::bf16;
  check(plan);
}

/// e4m3 keeps 4 bits: 2^-5 = 3 % of rounding in each operand of a product.
void check_fp8(Plan plan, const Trainer& trainer = test::fp32_trainer()) {
  plan.compute = DType::fp8;
  INFO(to_text(plan));
  const Result<Comparison> result = test::compare(test::small_llama(), plan, trainer, options(20));
  if (!result.ok()) FAIL(render(result.error()));
  INFO(result->note << " worst " << result->worst);
  CHECK(result->loss < 1e-2);
  CHECK(result->loss > 1e-6);
  CHECK(result->gradients < 0.3);
  CHECK(result->gradients > 2e-2);  // it is not the bf16 run
  CHECK(result->later_losses < 2e-2);
  CHECK(result->ledger);
  CHECK(result->memory);
}

TEST_CASE("8-bit products under every axis") {
  check_fp8({});
  Trainer trainer = test::fp32_trainer();
  trainer.fp8_inputs_kept = false;
  check_fp8({}, trainer);
  Plan plan;
  plan.tp = plan.pp = 2;
  plan.sequence_parallel = false;
  check_fp8(plan);
  plan = {};
  plan.cp = plan.dp_shard = 2;
  plan.zero = 3;
  plan.recompute = Recompute::full;
  check_fp8(plan);
}

TEST_CASE("8-bit products of two data-parallel ranks are those of one") {
  Plan plan;
  plan.compute = DType::fp8;
  const auto one = test::run(test::small_llama(), plan, test::fp32_trainer(), options(1));
  plan.dp_shard = 2;
  const auto two = test::run(test::small_llama(), plan, test::fp32_trainer(), options(1));
  REQUIRE(one.ok());
  REQUIRE(two.ok());
  CHECK(two->steps[0].loss == Approx(one->steps[0].loss).epsilon(1e-9));
  CHECK(two->steps[0].gradient_norm == Approx(one->steps[0].gradient_norm).epsilon(1e-5));
}

TEST_CASE("8-bit products that are refused, with the reason") {
  Plan plan;
  plan.compute = DType::fp8;
  plan.tp = 2;
  const auto refused = test::run(test::small_llama(), plan, test::fp32_trainer(), options(1));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message.find("8-bit products under sequence parallelism") !=
        std::string::npos);
  CHECK(no_fp8(90).empty());
  CHECK(no_fp8(89).empty());
  CHECK(no_fp8(80) == "8-bit products on a GPU of compute capability 8.0: they take 8.9");
}

TEST_CASE("bf16 under every axis") {
  Plan plan = bf16_plan();
  plan.tp = 2;
  plan.pp = 2;
  check(plan);
  plan = bf16_plan();
  plan.cp = 2;
  check(plan);
  for (const int zero : {1, 2, 3}) {
    plan = bf16_plan();
    plan.dp_shard = 2;
    plan.zero = zero;
    check(plan);
  }
}

TEST_CASE("bf16 gradients that are reduced in fp32, and fp32 shards that are gathered in bf16") {
  Trainer trainer = test::fp32_trainer();
  trainer.master_weights = false;
  trainer.reduce_every_micro_batch = true;
  Plan plan = bf16_plan();
  plan.dp_shard = 2;
  plan.zero = 3;
  check(plan, trainer);
  trainer.reduce = DType::bf16;
  check(plan, trainer);
}

TEST_CASE("recompute changes no bit of a bf16 run") {
  const RunOptions with = options(3);
  const auto losses = [&](Recompute recompute) {
    Plan plan = bf16_plan();
    plan.recompute = recompute;
    const auto report = test::run(test::small_llama(), plan, test::fp32_trainer(), with);
    std::vector<double> out;
    for (const StepResult& step : report->steps) {
      out.insert(out.end(), {step.loss, step.gradient_norm});
    }
    return out;
  };
  CHECK(losses(Recompute::full) == losses(Recompute::none));
}

}  // namespace
}  // namespace meshplan
