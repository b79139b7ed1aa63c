// SPDX-License-Identifier: Apache-2.0
// meshplan validate run: train a plan on this computer and compare with the prediction.
// meshplan validate time: predicted against measured step times of a fixed set of plans.
#include <fmt/format.h>

#include "planner/cli/inputs.hpp"
#include "planner/cli/open_knobs.hpp"
#include "planner/cli/progress.hpp"
#include "planner/cli/run_flags.hpp"
#include "planner/report/table.hpp"
#include "topologies/base/files.hpp"
#include "validate/emulate/emulate.hpp"
#include "validate/timing/cpu_step.hpp"

namespace meshplan::cli {
namespace {

int compared(const RunAnswer& answer) {
  if (answer.ledger_equal() && answer.memory_equal) return 0;
  return fail({.kind = ErrorKind::check,
               .message = "what the ranks counted is not what the plan predicts",
               .hint = "the lines marked DIFFERENT"},
              false);
}

int emulate(const RunQuestion& run, const Cluster& cluster, const std::string& rank,
            bool predict_only, bool json) {
  EmulateQuestion question{.run = run, .cluster = cluster};
  MESHPLAN_CLI_TRY(question.rank, rank_choice_from(rank), json);
  if (predict_only) {
    MESHPLAN_CLI_TRY(const RankPrediction predicted, predict_rank(question), json);
    print(json ? to_json(predicted) : to_text(predicted));
    return 0;
  }
  auto ran = [&] {
    const Progress progress("running one rank");
    return emulate_rank(question);
  }();
  MESHPLAN_CLI_TRY(const EmulateAnswer answer, std::move(ran), json);
  print(json ? to_json(answer) : to_text(answer));
  return compared(answer.run);
}

}  // namespace

int run_validate_run(const Arguments& arguments) {
  CLI::App app(
      "Trains a plan here, ranks as threads, and compares communication and memory, counted, with\n"
      "the prediction for what was run. Exit code 5 if they differ.\n\n"
      "  meshplan validate run plan.yaml --steps 10\n"
      "  meshplan validate run model/config.json 8xH100 --tp 2 --pp 2 --seq 128 --global-batch 8\n"
      "  meshplan validate run plan.yaml --device cuda --emulate-rank stage=3,tp=0\n",
      "meshplan validate run");
  std::string emulated;
  InputFlags inputs;
  PlanFlags axes;
  RunFlags flags;
  add_input_flags(app, inputs);
  add_plan_flags(app, axes, false);
  add_run_flags(app, flags);
  app.add_option("--emulate-rank", emulated,
                 "run this rank alone, what others do modelled: stage=3,tp=0")
      ->group("Run");
  bool predict_only = false;
  app.add_flag("--predict-only", predict_only, "what is expected of that rank; nothing is run")
      ->group("Run")
      ->needs("--emulate-rank");
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(const report::Question question, resolve(inputs), inputs.json);
  OpenKnobs open;
  MESHPLAN_CLI_TRY(const StepEstimate estimate, settle(question, axes, open), inputs.json);
  RunQuestion run{.model = question.model,
                  .plan = estimate.plan,
                  .batch = question.batch,
                  .trainer = question.trainer};
  if (const Status status = apply_run_flags(flags, run); !status.ok()) {
    return fail(status.error(), inputs.json);
  }
  if (!emulated.empty()) return emulate(run, question.cluster, emulated, predict_only, inputs.json);
  auto ran = [&] {
    const Progress progress("training");
    return run_plan(run);
  }();
  MESHPLAN_CLI_TRY(const RunAnswer answer, std::move(ran), inputs.json);
  print(inputs.json ? to_json(answer) : to_text(answer));
  return compared(answer);
}

int run_validate_time(const Arguments& arguments) {
  CLI::App app(
      "Runs a fixed set of plans of one and two ranks here and compares their step times with the\n"
      "prediction from the times of the kernels. Kernels and plans take turns for some rounds, "
      "and\n"
      "the shortest time counts, since other work on the computer only ever adds to it.\n\n"
      "  meshplan validate time --out cpu.yaml\n"
      "  meshplan validate time cpu.yaml\n",
      "meshplan validate time");
  std::string path, out;
  TimingOptions options;
  bool json = false;
  app.add_option("PROFILE", path, "CPU profile; without one it is measured here");
  app.add_option("--steps", options.steps, "measured steps of each plan and round (4)")
      ->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "(3)")->check(CLI::PositiveNumber);
  app.add_option("--out", out, "file to write the profile to");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  std::optional<CpuProfile> given;
  if (!path.empty()) {
    MESHPLAN_CLI_TRY(given, read_cpu_profile(path), json);
  }
  auto compared = [&] {
    const Progress progress("training");
    return compare_cpu_times(given, options);
  }();
  MESHPLAN_CLI_TRY(const TimingReport timing, std::move(compared), json);
  const CpuProfile& profile = timing.profile;
  if (!out.empty()) {
    if (const Status written = write_file(out, to_yaml(profile)); !written.ok())
      return fail(written.error(), json);
  }
  if (json) {
    Json plans = Json::array();
    for (const TimedPlan& one : timing.plans) {
      plans.push_back({{"plan", one.plan},
                       {"ranks", one.ranks},
                       {"predicted_step_time_s", one.predicted_s},
                       {"measured_step_time_s", one.measured_s},
                       {"error", one.error()}});
    }
    print(Json{{"schema", "meshplan.cpu-times/1"},
               {"processor", profile.processor},
               {"plans", std::move(plans)},
               {"mean_error", timing.mean_error},
               {"kendall_tau", timing.tau}});
    return 0;
  }
  using report::Align;
  report::Table table(
      {{"predicted", Align::right}, {"measured", Align::right}, {"error", Align::right}, {"plan"}});
  for (const TimedPlan& one : timing.plans) {
    table.add({fmt::format("{:.4f} s", one.predicted_s), fmt::format("{:.4f} s", one.measured_s),
               fmt::format("{:+.1f} %", 100 * one.error()), one.plan});
  }
  print(table.text() +
        fmt::format("\n  {} plans on {}: mean error {:.1f} %, Kendall's tau {:.3f}\n",
                    timing.plans.size(), profile.processor, 100 * timing.mean_error, timing.tau));
  return 0;
}

}  // namespace meshplan::cli
