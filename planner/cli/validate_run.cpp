// SPDX-License-Identifier: Apache-2.0
// meshplan validate run: train a plan on this computer's CPU and compare with the prediction.
// meshplan validate time: predicted against measured step times of a fixed set of plans.
#include <fmt/format.h>

#include "planner/cli/inputs.hpp"
#include "planner/cli/open_knobs.hpp"
#include "planner/cli/progress.hpp"
#include "planner/report/table.hpp"
#include "validate/run/run_plan.hpp"
#include "validate/timing/cpu_step.hpp"

namespace meshplan::cli {
namespace {

struct RunFlags {
  int64_t steps = 5, seed = 1, workers = 1, warmup = 0, routing_group = 0, save_every = 0;
  double learning_rate = 3e-4, clip = 1, timeout_s = 60;
  std::string profile, weights, text, checkpoints;
  bool resume = false;
};

void add_run_flags(CLI::App& app, RunFlags& flags) {
  const char* group = "Run";
  const auto add = [&](const char* name, auto& to, const char* about) {
    return app.add_option(name, to, about)->group(group);
  };
  add("--steps", flags.steps, "optimizer steps (5)")->check(CLI::PositiveNumber);
  add("--seed", flags.seed, "of random weights and tokens (1)");
  add("--learning-rate", flags.learning_rate, "of AdamW (3e-4), after the warm-up a cosine");
  add("--warmup", flags.warmup, "steps of warm-up (0)");
  add("--clip", flags.clip, "largest gradient norm (1); 0: no clipping");
  add("--workers", flags.workers, "threads of each rank's kernels (1)")->check(CLI::PositiveNumber);
  add("--routing-group", flags.routing_group,
      "experts take a fixed number of each so many tokens; 0: of all that a rank routes");
  add("--timeout", flags.timeout_s, "seconds to wait for a rank (60)")->check(CLI::PositiveNumber);
  add("--weights", flags.weights, "folder with model.safetensors as HF keeps it; else random");
  add("--text", flags.text, "train on this file, a token per byte; else random tokens");
  add("--checkpoints", flags.checkpoints, "folder to keep the state in after the last step");
  add("--save-every", flags.save_every, "also after so many steps each")->needs("--checkpoints");
  app.add_flag("--resume", flags.resume, "go on from the latest complete checkpoint there")
      ->needs("--checkpoints")
      ->group(group);
  add("--profile", flags.profile, "CPU profile that predicts the time, see 'meshplan profile'");
}

Result<RunQuestion> run_question(const report::Question& question, const Plan& plan,
                                 const RunFlags& flags) {
  RunQuestion run{
      .model = question.model, .plan = plan, .batch = question.batch, .trainer = question.trainer};
  run.options.steps = flags.steps;
  run.options.initial.seed = static_cast<uint64_t>(flags.seed);
  run.options.adamw.learning_rate = flags.learning_rate;
  run.options.clip_norm = flags.clip;
  run.options.warmup_steps = flags.warmup;
  run.options.decay_steps = flags.warmup > 0 ? flags.steps - flags.warmup : 0;
  run.options.workers = static_cast<int>(flags.workers);
  run.options.routing_group = flags.routing_group;
  run.world.timeout_s = flags.timeout_s;
  run.hf_folder = flags.weights;
  run.text_file = flags.text;
  run.checkpoints = flags.checkpoints;
  run.resume = flags.resume;
  run.save_every = flags.save_every;
  if (!flags.profile.empty()) {
    MESHPLAN_TRY(run.profile, read_cpu_profile(flags.profile));
  }
  return run;
}

}  // namespace

int run_validate_run(const Arguments& arguments) {
  CLI::App app(
      "Trains a plan here, ranks as threads, and compares communication and memory, counted, with\n"
      "the prediction for what was run. Exit code 5 if they differ.\n\n"
      "  meshplan validate run plan.yaml --steps 10\n"
      "  meshplan validate run model/config.json 8xH100 --tp 2 --pp 2 --seq 128 --global-batch 8\n",
      "meshplan validate run");
  InputFlags inputs;
  PlanFlags axes;
  RunFlags flags;
  add_input_flags(app, inputs);
  add_plan_flags(app, axes, false);
  add_run_flags(app, flags);
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(const report::Question question, resolve(inputs), inputs.json);
  OpenKnobs open;
  MESHPLAN_CLI_TRY(const StepEstimate estimate, settle(question, axes, open), inputs.json);
  MESHPLAN_CLI_TRY(const RunQuestion run, run_question(question, estimate.plan, flags),
                   inputs.json);
  auto ran = [&] {
    const Progress progress("training");
    return run_plan(run);
  }();
  MESHPLAN_CLI_TRY(const RunAnswer answer, std::move(ran), inputs.json);
  print(inputs.json ? to_json(answer) : to_text(answer));
  if (answer.ledger_equal() && answer.memory_equal) return 0;
  return fail({.kind = ErrorKind::check,
               .message = "what the ranks counted is not what the plan predicts",
               .hint = "the lines marked DIFFERENT"},
              false);
}

int run_validate_time(const Arguments& arguments) {
  CLI::App app(
      "Runs a fixed set of plans of one and two ranks here and compares their step times with the\n"
      "prediction from a CPU profile. The computer should have nothing else to do.\n\n"
      "  meshplan profile --device cpu --out cpu.yaml\n"
      "  meshplan validate time cpu.yaml\n",
      "meshplan validate time");
  std::string path;
  int steps = 4;
  bool json = false;
  app.add_option("PROFILE", path, "CPU profile")->required();
  app.add_option("--steps", steps, "measured steps of each plan (4)")->check(CLI::PositiveNumber);
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(const CpuProfile profile, read_cpu_profile(path), json);
  auto compared = [&] {
    const Progress progress("training");
    return compare_cpu_times(profile, {.steps = steps, .progress = {}});
  }();
  MESHPLAN_CLI_TRY(const TimingReport timing, std::move(compared), json);
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
