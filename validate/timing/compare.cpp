// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "strategies/program/lower.hpp"
#include "validate/execute/thread_run.hpp"
#include "validate/published/score.hpp"
#include "validate/timing/cpu_step.hpp"

namespace meshplan {
namespace {

struct Question {
  Plan plan;
  Batch batch;
  int64_t hidden;
};

Model model_of(int64_t hidden) {
  Model model;
  model.layers = 4;
  model.hidden = hidden;
  model.head_dim = 64;
  model.heads = hidden / 64;
  model.kv_heads = hidden / 128;
  model.intermediate = hidden * 11 / 4 / 64 * 64;
  model.vocabulary = 4096;
  return model;
}

/// One rank: sizes, micro-batches, recompute. Two ranks: every axis alone.
std::vector<Question> questions() {
  std::vector<Question> out;
  Plan one;
  one.compute = DType::fp32;
  const auto add = [&](const Plan& plan, int64_t sequence, int64_t sequences, int64_t hidden) {
    out.push_back({plan, {sequence, sequences}, hidden});
  };
  for (const int64_t hidden : {128, 256, 512}) add(one, 256, 4, hidden);
  add(one, 1024, 1, 256);
  add(one, 64, 16, 256);
  Plan wide = one;
  wide.micro_batch = 4;
  add(wide, 256, 4, 256);
  Plan again = one;
  again.recompute = Recompute::full;
  add(again, 256, 4, 256);
  again.recompute = Recompute::selective;
  again.recompute_modules = bit(Module::core_attention);
  add(again, 1024, 1, 256);

  for (const int64_t hidden : {256, 512}) {
    Plan plan = one;
    plan.tp = 2;
    add(plan, 256, 4, hidden);
    plan.sequence_parallel = false;
    add(plan, 256, 4, hidden);
    for (const int zero : {0, 1, 2, 3}) {
      plan = one;
      plan.dp_shard = 2;
      plan.zero = zero;
      add(plan, 256, 4, hidden);
    }
    plan = one;
    plan.pp = 2;
    add(plan, 256, 8, hidden);
    plan.schedule = ScheduleKind::gpipe;
    add(plan, 256, 4, hidden);
    plan.schedule = ScheduleKind::zb_h1;
    add(plan, 256, 8, hidden);
    plan.schedule = ScheduleKind::interleaved;
    plan.vpp = 2;
    add(plan, 256, 8, hidden);
    for (const ContextParallel kind : {ContextParallel::all_gather, ContextParallel::ring}) {
      plan = one;
      plan.cp = 2;
      plan.cp_kind = kind;
      add(plan, 512, 2, hidden);
    }
  }
  return out;
}

Result<TimedPlan> time_plan(const Question& question, const CpuProfile& profile, int steps) {
  Trainer trainer;
  const Model model = model_of(question.hidden);
  MESHPLAN_TRY(const Program program, lower(model, question.plan, question.batch, trainer));
  MESHPLAN_TRY(const CpuStepTime predicted, predict_cpu_step(program, profile));
  const RandomTokens tokens(model.vocabulary, 1);
  ThreadRun run;
  run.options.steps = steps + 1;
  MESHPLAN_TRY(const RunReport report, run_on_threads(program, run, tokens));
  std::vector<double> seconds;
  for (size_t i = 1; i < report.steps.size(); ++i) seconds.push_back(report.steps[i].seconds);
  std::sort(seconds.begin(), seconds.end());
  TimedPlan out;
  out.plan = "hidden " + std::to_string(question.hidden) + ", sequence " +
             std::to_string(question.batch.sequence) + " x " +
             std::to_string(question.batch.global_sequences) + ": " + to_text(question.plan);
  out.ranks = question.plan.world();
  out.predicted_s = predicted.seconds;
  out.measured_s = seconds[seconds.size() / 2];
  return out;
}

}  // namespace

Result<TimingReport> compare_cpu_times(const CpuProfile& profile, const TimingOptions& options) {
  TimingReport report;
  std::vector<double> predicted, measured;
  for (const Question& question : questions()) {
    MESHPLAN_TRY(TimedPlan timed, time_plan(question, profile, options.steps));
    if (options.progress) options.progress(timed.plan);
    predicted.push_back(timed.predicted_s);
    measured.push_back(timed.measured_s);
    report.mean_error += std::abs(timed.error());
    report.plans.push_back(std::move(timed));
  }
  report.mean_error /= static_cast<double>(report.plans.size());
  report.tau = kendall_tau(predicted, measured);
  return report;
}

}  // namespace meshplan
