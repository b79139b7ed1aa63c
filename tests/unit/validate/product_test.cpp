// SPDX-License-Identifier: Apache-2.0
// All axes together: plans that cover every pair of factor levels, against one rank. With
// MESHPLAN_FULL_PRODUCT=1 in the environment: every plan of the product up to 16 ranks.
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <set>

#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"

namespace meshplan {
namespace {

// Factors and how many levels each has.
enum Factor { kTp, kSp, kPp, kData, kCp, kSchedule, kZero, kRecompute, kFactors };
constexpr std::array<int, kFactors> kLevels = {3, 2, 3, 5, 3, 5, 4, 3};
using Choice = std::array<int, kFactors>;

struct Case {
  Plan plan;
  bool legal = false;
};

/// illegal: more than 16 ranks, a shape that the schedule does not take, or a level that changes
/// nothing next to the others.
Case case_of(const Choice& choice) {
  Case out;
  Plan& plan = out.plan;
  plan = test::fp32_plan();
  plan.tp = 1 << choice[kTp];
  plan.sequence_parallel = choice[kSp] == 0;
  plan.pp = 1 << choice[kPp];
  constexpr std::array<std::array<int, 2>, 5> data = {{{1, 1}, {2, 1}, {4, 1}, {1, 2}, {2, 2}}};
  plan.dp_shard = data[static_cast<size_t>(choice[kData])][0];
  plan.dp_replicate = data[static_cast<size_t>(choice[kData])][1];
  plan.cp = choice[kCp] == 0 ? 1 : 2;
  plan.cp_kind = choice[kCp] == 2 ? ContextParallel::ring : ContextParallel::all_gather;
  constexpr std::array<ScheduleKind, 5> schedules = {ScheduleKind::one_f_one_b, ScheduleKind::gpipe,
                                                     ScheduleKind::interleaved, ScheduleKind::zb_h1,
                                                     ScheduleKind::zb_v};
  plan.schedule = schedules[static_cast<size_t>(choice[kSchedule])];
  const bool chunks =
      plan.schedule == ScheduleKind::interleaved || plan.schedule == ScheduleKind::zb_v;
  plan.vpp = chunks ? 2 : 1;
  plan.zero = choice[kZero];
  plan.recompute = choice[kRecompute] == 0
                       ? Recompute::none
                       : (choice[kRecompute] == 1 ? Recompute::selective : Recompute::full);
  plan.recompute_modules = bit(Module::core_attention) | bit(Module::activation);
  plan.micro_batch = 1;
  const Batch batch{test::kSequence, test::kSequences};
  const ScheduleShape shape{plan.schedule, plan.pp, plan.vpp, batch.micro_batches(plan), 0};
  out.legal = plan.world() <= 16 && check_shape(shape).ok() && (plan.tp > 1 || choice[kSp] == 0) &&
              (plan.pp > 1 || plan.schedule == ScheduleKind::one_f_one_b) &&
              plan.pp * plan.vpp <= 4;
  return out;
}

Choice choice_of(int number) {
  Choice choice;
  for (int f = 0; f < kFactors; ++f) {
    choice[static_cast<size_t>(f)] = number % kLevels[static_cast<size_t>(f)];
    number /= kLevels[static_cast<size_t>(f)];
  }
  return choice;
}

std::set<std::array<int, 4>> pairs_of(const Choice& choice) {
  std::set<std::array<int, 4>> pairs;
  for (int a = 0; a < kFactors; ++a) {
    for (int b = a + 1; b < kFactors; ++b) {
      pairs.insert({a, choice[static_cast<size_t>(a)], b, choice[static_cast<size_t>(b)]});
    }
  }
  return pairs;
}

/// Greedy: the plan with the most pairs that no earlier one has, until none is left.
std::vector<Plan> cover(const std::vector<Choice>& legal) {
  std::set<std::array<int, 4>> open;
  for (const Choice& choice : legal) open.merge(pairs_of(choice));
  std::vector<Plan> plans;
  while (!open.empty()) {
    size_t best = 0, most = 0;
    for (size_t i = 0; i < legal.size(); ++i) {
      size_t fresh = 0;
      for (const auto& pair : pairs_of(legal[i])) fresh += open.count(pair);
      if (fresh <= most) continue;
      most = fresh;
      best = i;
    }
    for (const auto& pair : pairs_of(legal[best])) open.erase(pair);
    plans.push_back(case_of(legal[best]).plan);
  }
  return plans;
}

RunOptions options() {
  RunOptions out;
  out.steps = 20;
  out.initial.deviation = 0.1;
  out.adamw.learning_rate = 1e-3;
  out.warmup_steps = 5;
  out.decay_steps = 15;
  out.routing_group = 4;
  return out;
}

TEST_CASE("every pair of factor levels equals one rank over 20 steps") {
  int all = 1;
  for (const int levels : kLevels) all *= levels;
  std::vector<Choice> legal;
  std::vector<Plan> plans;
  for (int i = 0; i < all; ++i) {
    const Choice choice = choice_of(i);
    const Case one = case_of(choice);
    if (!one.legal) continue;
    legal.push_back(choice);
    plans.push_back(one.plan);
  }
  CHECK(legal.size() > 2000);
  const bool full = std::getenv("MESHPLAN_FULL_PRODUCT") != nullptr;
  if (!full) plans = cover(legal);
  CHECK(plans.size() >= 25);  // 5 x 5 levels
  double loss = 0, gradients = 0, later = 0;
  for (const Plan& plan : plans) {
    INFO(to_text(plan));
    const Result<test::Comparison> result =
        test::compare(test::small_llama(), plan, test::fp32_trainer(), options());
    if (!result.ok()) FAIL(render(result.error()));
    INFO(result->note << " worst " << result->worst);
    CHECK(result->loss < 1e-6);
    CHECK(result->gradients < 1e-5);
    CHECK(result->later_losses < 1e-4);
    CHECK(result->ledger);
    CHECK(result->memory);
    loss = std::max(loss, result->loss);
    gradients = std::max(gradients, result->gradients);
    later = std::max(later, result->later_losses);
  }
  WARN(fmt::format("{} of {} plans: first loss {:.1e}, gradients {:.1e}, 20 steps {:.1e}",
                   plans.size(), legal.size(), loss, gradients, later));
}

}  // namespace
}  // namespace meshplan
