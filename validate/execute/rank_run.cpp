// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/rank_run.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cmath>
#include <ctime>

namespace meshplan {
namespace {

double process_seconds() {
  std::timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

Result<std::unique_ptr<RankRun>> RankRun::make(World& world, const Program& program,
                                               const RunOptions& options, const TokenSource& tokens,
                                               const WeightSource* weights) {
  if (const std::vector<std::string> reasons = not_executable(program, options); !reasons.empty()) {
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = "this plan is priced only: " + reasons.front(),
                      .rule = "executor.priced-only",
                      .notes = {reasons.begin() + 1, reasons.end()}};
  }
  if (world.size() != program.plan.world()) {
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = fmt::format("the plan has {} ranks, the world {}",
                                             program.plan.world(), world.size())};
  }
  std::unique_ptr<RankRun> run(new RankRun);
  MESHPLAN_TRY(run->env_, RankEnv::make(world, program, options));
  run->stage_ = std::make_unique<StageRunner>(*run->env_, tokens);
  const RandomWeights random(options.initial);
  MESHPLAN_CHECK(run->stage_->create(weights != nullptr ? *weights : random));
  return run;
}

Result<StepResult> RankRun::step() {
  const auto begin = std::chrono::steady_clock::now();
  const double cpu_begin = process_seconds();
  double loss_sum = 0;
  MESHPLAN_CHECK(stage_->pass(next_, &loss_sum));
  // tp ranks hold the same loss
  std::array<double, 2> sums = {loss_sum / env_->plan().tp, own_squared_norm(*stage_, *env_)};
  if (Communicator* world = env_->group(Group::world)) {
    MESHPLAN_CHECK(world->all_reduce(sums.data(), sums.size()));
  }
  StepResult result;
  result.loss = sums[0] / env_->tokens_per_step();
  result.gradient_norm = std::sqrt(sums[1]);
  update(*stage_, *env_, next_, cpu::clip_factor(result.gradient_norm, env_->options().clip_norm));
  stage_->close();
  ++next_;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
  result.seconds = passed.count();
  result.cpu_seconds = process_seconds() - cpu_begin;
  return result;
}

RankReport RankRun::report(const World& world) const {
  return {env_->place(),        world.ledger(),  stage_->meters(),
          stage_->total().peak, stage_->peaks(), stage_->routed()};
}

}  // namespace meshplan
