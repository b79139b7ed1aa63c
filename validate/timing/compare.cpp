// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "profiler/measure/cpu.hpp"
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

/// Shortest step after the first of one run. One rank never waits, so that its processor time is
/// what it would take on a core of its own.
Result<double> shortest_step(const Question& question, const Program& program, int steps) {
  const RandomTokens tokens(program.model.vocabulary, 1);
  ThreadRun run;
  run.options.steps = steps + 1;
  MESHPLAN_TRY(const RunReport report, run_on_threads(program, run, tokens));
  const bool alone = question.plan.world() == 1;
  double shortest = 0;
  for (size_t i = 1; i < report.steps.size(); ++i) {
    const double seconds = alone ? report.steps[i].cpu_seconds : report.steps[i].seconds;
    if (i == 1 || seconds < shortest) shortest = seconds;
  }
  return shortest;
}

std::string name_of(const Question& question) {
  return "hidden " + std::to_string(question.hidden) + ", sequence " +
         std::to_string(question.batch.sequence) + " x " +
         std::to_string(question.batch.global_sequences) + ": " + to_text(question.plan);
}

}  // namespace

Status keep_faster(CpuProfile& best, const CpuProfile& other) {
  if (best.tables.empty()) {
    best = other;
    return Done{};
  }
  for (size_t t = 0; t < best.tables.size(); ++t) {
    for (auto& [kernel, table] : best.tables[t].kernels) {
      const GridTable& again = other.tables[t].kernels.at(kernel);
      std::vector<double> values = table.values();
      for (size_t i = 0; i < values.size(); ++i) values[i] = std::min(values[i], again.values()[i]);
      MESHPLAN_TRY(table, GridTable::make(table.axes(), std::move(values)));
    }
  }
  return Done{};
}

Result<TimingReport> compare_cpu_times(const std::optional<CpuProfile>& given,
                                       const TimingOptions& options) {
  TimingReport report;
  if (given) report.profile = *given;
  std::vector<Program> programs;
  const std::vector<Question> all = questions();
  for (const Question& question : all) {
    MESHPLAN_TRY(Program program,
                 lower(model_of(question.hidden), question.plan, question.batch, Trainer{}));
    programs.push_back(std::move(program));
    report.plans.push_back({.plan = name_of(question), .ranks = question.plan.world()});
  }
  for (int round = 0; round < options.rounds; ++round) {
    if (!given) {
      MESHPLAN_TRY(const CpuProfile profile,
                   profile_cpu({.seconds_per_point = options.seconds_per_point,
                                .progress = options.progress}));
      MESHPLAN_CHECK(keep_faster(report.profile, profile));
    }
    for (size_t i = 0; i < all.size(); ++i) {
      TimedPlan& timed = report.plans[i];
      if (options.progress) options.progress(timed.plan);
      MESHPLAN_TRY(const double seconds, shortest_step(all[i], programs[i], options.steps));
      timed.measured_s = round == 0 ? seconds : std::min(timed.measured_s, seconds);
    }
  }
  std::vector<double> predicted, measured;
  for (size_t i = 0; i < all.size(); ++i) {
    TimedPlan& timed = report.plans[i];
    MESHPLAN_TRY(const CpuStepTime time, predict_cpu_step(programs[i], report.profile));
    timed.predicted_s = time.seconds;
    predicted.push_back(timed.predicted_s);
    measured.push_back(timed.measured_s);
    report.mean_error += std::abs(timed.error()) / static_cast<double>(all.size());
  }
  report.tau = kendall_tau(predicted, measured);
  return report;
}

}  // namespace meshplan
