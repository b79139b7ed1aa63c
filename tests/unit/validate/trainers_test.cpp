// SPDX-License-Identifier: Apache-2.0
// Trainers differ in what they fuse, keep, gather and reduce, so in their step programs. Whatever
// of them can be executed trains the same model.
#include <algorithm>

#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"
#include "validate/run/run_plan.hpp"

namespace meshplan {
namespace {

std::vector<Plan> plans() {
  Plan tensor = test::fp32_plan();
  tensor.tp = 2;
  Plan data = test::fp32_plan();
  data.dp_shard = 2;
  Plan stages = test::fp32_plan();
  stages.pp = stages.tp = 2;
  stages.recompute = Recompute::full;
  std::vector<Plan> out = {tensor, data, stages};
  for (const int zero : {1, 2, 3}) {
    data.zero = zero;
    out.push_back(data);
  }
  return out;
}

RunOptions options() {
  RunOptions out;
  out.steps = 3;
  out.initial.deviation = 0.1;
  out.adamw.learning_rate = 1e-3;
  return out;
}

void check(const RunQuestion& question, const RunOptions& with) {
  INFO(question.trainer.id << ": " << to_text(question.plan));
  const Result<Executable> executable = make_executable(question);
  if (!executable.ok()) FAIL(render(executable.error()));
  const RunQuestion& run = executable->question;
  const Result<test::Comparison> result = test::compare(run.model, run.plan, run.trainer, with);
  if (!result.ok()) FAIL(render(result.error()));
  INFO(result->note << " worst " << result->worst);
  CHECK(result->loss < 1e-6);
  CHECK(result->gradients < 1e-5);
  CHECK(result->later_losses < 1e-4);
  CHECK(result->ledger);
  CHECK(result->memory);
}

TEST_CASE("every trainer's program equals one rank") {
  const std::vector<Trainer> trainers = all_trainers().value();
  CHECK(trainers.size() > 15);
  for (const Trainer& trainer : trainers) {
    for (const Plan& plan : plans()) {
      check({.model = test::small_llama(),
             .plan = plan,
             .batch = {test::kSequence, test::kSequences},
             .trainer = trainer},
            options());
    }
  }
}

TEST_CASE("dropless experts equal one rank's, within the bound") {
  const auto answer_of = [](const Plan& plan, bool dropless) {
    RunQuestion question{.model = test::small_moe(),
                         .plan = plan,
                         .batch = {test::kSequence, test::kSequences},
                         .trainer = test::fp32_trainer(),
                         .options = options()};
    question.dropless = dropless;
    Result<RunAnswer> answer = run_plan(question);
    if (!answer.ok()) FAIL(render(answer.error()));
    return std::move(answer).value();
  };
  const RunAnswer one = answer_of(test::fp32_plan(), true);
  for (const int ep : {1, 2, 4}) {
    Plan plan = test::fp32_plan();
    plan.dp_shard = 4;
    plan.ep = ep;
    // no groups of tokens: what a token gets does not depend on the others
    const RunAnswer many = answer_of(plan, true);
    CHECK(many.steps[0].loss == Approx(one.steps[0].loss).epsilon(1e-6));
    CHECK(many.steps[0].gradient_norm == Approx(one.steps[0].gradient_norm).epsilon(1e-5));
    CHECK(many.steps[2].loss == Approx(one.steps[2].loss).epsilon(1e-4));
    CHECK(many.ledger_equal());
    CHECK(many.memory_equal);
    // steps x layers x tokens x choices; room for all 32 tokens of a micro-batch
    CHECK(many.routed.pairs == int64_t{3} * 4 * 256 * 2);
    CHECK(many.routed.dropped == 0);
    CHECK(many.routed.rows == 32);
    CHECK(many.routed.busiest > 16);  // more than the even share
    CHECK(many.routed.busiest <= 32);
    CHECK(answer_of(plan, false).routed.dropped > 0);
  }
}

TEST_CASE("routing that is priced as uneven runs with an even share of rows") {
  RunQuestion question{.model = test::small_moe(),
                       .plan = test::fp32_plan(),
                       .batch = {test::kSequence, test::kSequences},
                       .trainer = test::fp32_trainer(),
                       .options = options()};
  question.plan.dp_shard = question.plan.ep = 2;
  question.plan.zero = 2;
  question.trainer.expert_load_ratio = 1.7;
  question.trainer.zero_all_reduces = 2;
  const Result<RunAnswer> answer = run_plan(question);
  if (!answer.ok()) FAIL(render(answer.error()));
  CHECK(answer->routed.rows == 16);
  CHECK(answer->ledger_equal());
  CHECK(answer->memory_equal);
}

TEST_CASE("what is priced only") {
  const Trainer trainer = find_trainer("megatron-core").value();
  Plan plan;
  plan.tp = 2;
  plan.pp = 4;
  CHECK(priced_only(test::small_llama(), plan, {32, 8}, trainer).empty());
  plan.schedule = ScheduleKind::dualpipe;
  const std::vector<std::string> reasons = priced_only(test::small_llama(), plan, {32, 8}, trainer);
  CHECK(std::find(reasons.begin(), reasons.end(), "the schedule dualpipe") != reasons.end());
}

}  // namespace
}  // namespace meshplan
