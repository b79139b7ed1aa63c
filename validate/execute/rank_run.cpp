// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/rank_run.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cmath>
#include <ctime>

#include "validate/execute/arena_layout.hpp"
#include "validate/execute/cpu_device.hpp"

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
                                               const WeightSource* weights,
                                               std::unique_ptr<Device> device) {
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
  run->device_ =
      device != nullptr ? std::move(device) : std::make_unique<CpuDevice>(options.workers);
  MESHPLAN_TRY(run->env_, RankEnv::make(world, program, options, *run->device_));
  MESHPLAN_TRY(ArenaLayout layout, lay_out_rank(program, options, world.rank()));
  run->arena_bytes_ = layout.bytes;
  run->stage_ = std::make_unique<StageRunner>(*run->env_, tokens);
  MESHPLAN_CHECK(run->stage_->reserve(std::move(layout)));
  const RandomWeights random(options.initial);
  MESHPLAN_CHECK(run->stage_->create(weights != nullptr ? weights : &random));
  return run;
}

/// The communicator works on memory of the device.
Status RankRun::sum_over_world(std::span<double> sums) {
  Communicator* world = env_->group(Group::world);
  if (world == nullptr) return Done{};
  const auto bytes = static_cast<int64_t>(sums.size_bytes());
  MESHPLAN_TRY(std::byte* const memory, device_->scratch(0, bytes));
  MESHPLAN_CHECK(device_->upload(sums.data(), bytes, memory));
  MESHPLAN_CHECK(
      world->all_reduce(memory, static_cast<int64_t>(sums.size()), Element::fp64, ReduceOp::sum));
  return device_->download(memory, bytes, sums.data());
}

Result<StepResult> RankRun::step() {
  const auto begin = std::chrono::steady_clock::now();
  const double cpu_begin = process_seconds();
  MESHPLAN_CHECK(stage_->pass(next_));
  MESHPLAN_CHECK(add_squared_norm(*stage_, *env_));
  MESHPLAN_TRY(const StepSums own, device_->take_sums());
  // tp ranks hold the same loss
  std::array<double, 2> sums = {own.loss / env_->plan().tp, own.squared_norm};
  MESHPLAN_CHECK(sum_over_world(sums));
  StepResult result;
  result.loss = sums[0] / env_->tokens_per_step();
  result.gradient_norm = std::sqrt(sums[1]);
  MESHPLAN_CHECK(update(*stage_, *env_, next_,
                        cpu::clip_factor(result.gradient_norm, env_->options().clip_norm)));
  stage_->close();
  MESHPLAN_CHECK(device_->wait());
  ++next_;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
  result.seconds = passed.count();
  result.cpu_seconds = process_seconds() - cpu_begin;
  return result;
}

RankReport RankRun::report(const World& world) const {
  return {.place = env_->place(),
          .device = device_->about(),
          .ledger = world.ledger(),
          .meters = stage_->meters(),
          .peak_bytes = stage_->arena().total.peak,
          .arena_bytes = arena_bytes_,
          .device_bytes = device_->used_bytes(),
          .blocks = stage_->peaks(),
          .routed = stage_->routed()};
}

}  // namespace meshplan
