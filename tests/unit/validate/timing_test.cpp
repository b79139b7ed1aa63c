// SPDX-License-Identifier: Apache-2.0
// Predicted step time from a made-up profile, by hand.
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"
#include "validate/timing/cpu_step.hpp"

namespace meshplan {
namespace {

/// Products take 1 ns per FLOP, messages 1 ms per byte if `slow_messages`, all else is free.
CpuProfile made_up(bool slow_messages) {
  CpuTables tables;
  const auto flat = [](double value, size_t dims) {
    return GridTable::make(std::vector<std::vector<double>>(dims, {1.0}), {value}).value();
  };
  const double nothing = 1e-30;
  for (const char* name : {"product-tn", "product-nn", "product-nt"}) {
    tables.kernels[name] = flat(1e-9, 3);
  }
  for (const char* name : {"attention-forward", "attention-backward"}) {
    tables.kernels[name] = flat(nothing, 2);
  }
  for (const char* name :
       {"norm-forward", "norm-backward", "rope", "activation-forward", "activation-backward", "add",
        "zero", "embedding-forward", "embedding-backward", "loss-maximum", "loss-sum",
        "loss-gradient", "squared-norm", "adamw", "all-reduce", "all-gather", "reduce-scatter"}) {
    tables.kernels[name] = flat(nothing, 1);
  }
  tables.kernels["send"] = flat(slow_messages ? 1e-3 : nothing, 1);
  return {.processor = "none", .cores = 16, .source = "test", .tables = {tables}};
}

Result<CpuStepTime> predict(const Plan& plan, bool slow_messages = false) {
  MESHPLAN_TRY(
      const Program program,
      lower(test::small_llama(), plan, {test::kSequence, test::kSequences}, test::fp32_trainer()));
  return predict_cpu_step(program, made_up(slow_messages));
}

TEST_CASE("predicted CPU step: FLOPs of the products, recompute, ranks, the bubble") {
  // q, k, v, o: 32 x (32 + 16 + 16 + 32); mlp: 3 x 32 x 48; head: 32 x 128 padded
  const double layer = 32 * 96 + 3 * 32 * 48, head = 32 * 128;
  const double tokens = test::kSequence * test::kSequences;
  const double forward = 2e-9 * tokens * (4 * layer + head);
  Plan plan = test::fp32_plan();
  CHECK(predict(plan)->seconds == Approx(3 * forward));
  plan.recompute = Recompute::full;
  CHECK(predict(plan)->seconds == Approx(3 * forward + 2e-9 * tokens * 4 * layer));
  plan.recompute = Recompute::none;
  plan.dp_shard = 2;
  CHECK(predict(plan)->seconds == Approx(1.5 * forward));
  plan.dp_shard = 1;
  plan.pp = 2;
  // GPipe: 8 micro-batches and one more of the busier stage's neighbour to fill the pipeline
  plan.schedule = ScheduleKind::gpipe;
  const double first = 3 * 2e-9 * tokens / 8 * 2 * layer;
  const double second = 3 * 2e-9 * tokens / 8 * (2 * layer + head);
  CHECK(predict(plan)->seconds == Approx(first + 8 * second));
  // two messages of 32 x 32 floats a micro-batch stand in the way of the sender
  CHECK(predict(plan, true)->seconds > 16 * 4.096 * 0.9);
  CHECK(predict(plan, true)->seconds < 16 * 4.096 * 1.3);
}

TEST_CASE("of two profiles the faster points are kept") {
  CpuProfile best, slow = made_up(true);
  REQUIRE(keep_faster(best, slow).ok());
  CHECK(*best.of(1).seconds(cpu_message(10)) == Approx(0.01));
  REQUIRE(keep_faster(best, made_up(false)).ok());
  CHECK(*best.of(1).seconds(cpu_message(10)) < 1e-9);
  REQUIRE(keep_faster(best, slow).ok());
  CHECK(*best.of(1).seconds(cpu_message(10)) < 1e-9);
}

TEST_CASE("a profile without a kernel is refused") {
  CpuProfile profile = made_up(false);
  profile.tables[0].kernels.erase("adamw");
  const auto program = lower(test::small_llama(), test::fp32_plan(),
                             {test::kSequence, test::kSequences}, test::fp32_trainer());
  REQUIRE(program.ok());
  const auto predicted = predict_cpu_step(*program, profile);
  REQUIRE_FALSE(predicted.ok());
  CHECK(predicted.error().value == "adamw");
}

}  // namespace
}  // namespace meshplan
