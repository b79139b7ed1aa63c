// SPDX-License-Identifier: Apache-2.0
// meshplan launch: the files that start a plan with the trainer people already have.
#include <fmt/format.h>

#include <filesystem>

#include "costmodel/step/estimate.hpp"
#include "planner/cli/folder.hpp"
#include "planner/cli/parse.hpp"
#include "planner/planfile/planfile.hpp"
#include "planner/report/format.hpp"
#include "strategies/launch/launch.hpp"
#include "strategies/trainer/settings.hpp"

namespace meshplan::cli {
namespace {

struct Question {
  std::string plan, trainer, version, folder;
  bool force = false, json = false;
};

struct Answer {
  const launch::TrainerFiles* trainer = nullptr;
  launch::Version version;
  launch::Written written;
  double step_s = 0, written_step_s = 0;  ///< of the plan, and of what the files say
};

Result<Answer> make(const Question& q) {
  Answer out;
  MESHPLAN_TRY(planfile::PlanFile file, planfile::read(q.plan));
  MESHPLAN_TRY(out.trainer,
               launch::find_trainer_files(q.trainer.empty() ? file.trainer.id : q.trainer));
  MESHPLAN_TRY(out.version, launch::version_of(*out.trainer, q.version));
  const std::string rank_order = file.trainer.rank_order;
  if (file.trainer.id != out.trainer->plans && file.trainer.launched_as != out.trainer->plans) {
    const std::vector<TrainerSetting> settings = std::move(file.trainer.settings);
    MESHPLAN_TRY(file.trainer, find_trainer(out.trainer->plans));
    for (const TrainerSetting& each : settings) MESHPLAN_CHECK(set(file.trainer, each));
  }
  launch::Job job;
  job.model = file.model;
  job.plan = file.plan;
  job.batch = file.batch;
  job.trainer = file.trainer;
  job.nodes = file.cluster.nodes;
  job.gpus_per_node = file.cluster.gpus_per_node;
  job.compute_capability = file.cluster.gpu.compute_capability;
  MESHPLAN_TRY(out.written, launch::write(*out.trainer, job, out.version));
  MESHPLAN_TRY(const RankOrder wanted, RankOrder::parse(rank_order));
  MESHPLAN_TRY(const RankOrder taken, RankOrder::parse(file.trainer.rank_order));
  if (!(wanted == taken))
    out.written.losses.push_back({"rank order", rank_order, file.trainer.rank_order,
                                  "the trainer numbers its ranks itself"});
  out.written.files.push_back({"plan.yaml", planfile::to_yaml(file), false});
  if (out.written.losses.empty()) return out;
  EstimateOptions options;
  options.check_rules = false;
  planfile::PlanFile asked = file;
  asked.trainer.rank_order = rank_order;
  MESHPLAN_TRY(const StepEstimate before, estimate_step(asked.model, asked.plan, asked.batch,
                                                        asked.trainer, asked.cluster, options));
  Trainer written = out.written.trainer;
  written.rank_order = file.trainer.rank_order;
  MESHPLAN_TRY(const StepEstimate after, estimate_step(file.model, out.written.plan, file.batch,
                                                       written, file.cluster, options));
  out.step_s = before.step_s;
  out.written_step_s = after.step_s;
  return out;
}

}  // namespace

int run_launch(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "pbg")
    return run_launch_pbg({arguments.begin() + 1, arguments.end()});
  CLI::App app(
      "Writes what it takes to start a plan: the trainer's configuration, scripts for Slurm,\n"
      "torchrun and a plain shell, a README. What the trainer has no words for is listed.\n\n"
      "  meshplan plan llama3-70b 64x8xH100 --trainer megatron-lm --save plan.yaml\n"
      "  meshplan launch --trainer megatron-lm plan.yaml -o run\n"
      "  meshplan launch pbg graph.yaml --partitions 16 --ranks 8 -o run\n",
      "meshplan launch");
  Question q;
  app.add_option("PLAN", q.plan, "plan file, as --save of plan and simulate writes it");
  std::string names;
  for (const launch::TrainerFiles* each : launch::trainer_files())
    names += (names.empty() ? "" : ", ") + std::string(each->id);
  app.add_option("--trainer", q.trainer, names + "; else the plan's");
  app.add_option("--trainer-version", q.version, "release of the trainer; else the newest known");
  app.add_option("-o,--out", q.folder, "folder to write");
  app.add_flag("--force", q.force, "replace files in a folder that exists");
  app.add_flag("--json", q.json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  if (q.plan.empty() || q.folder.empty())
    return fail({.kind = ErrorKind::usage,
                 .message = q.plan.empty() ? "PLAN is missing" : "where to?",
                 .where = q.plan.empty() ? "" : "--out",
                 .hint = "meshplan launch --trainer megatron-lm plan.yaml -o run"},
                q.json);
  MESHPLAN_CLI_TRY(const Answer answer, make(q), q.json);
  const auto& written = answer.written;
  const Status status = write_folder(q.folder, written.files, q.force);
  if (!status.ok()) return fail(status.error(), q.json);
  const std::string trainer =
      fmt::format("{} {}", answer.trainer->id, launch::to_text(answer.version));
  if (q.json) {
    Json files = Json::array(), losses = Json::array();
    for (const auto& file : written.files) files.push_back(file.name);
    for (const auto& loss : written.losses)
      losses.push_back({{"knob", loss.knob},
                        {"plan", loss.wanted},
                        {"written", loss.written},
                        {"why", loss.why}});
    Json document = {{"schema", "meshplan.launch/1"},
                     {"inputs",
                      {{"plan", q.plan},
                       {"trainer", answer.trainer->id},
                       {"trainer_version", launch::to_text(answer.version)}}},
                     {"provenance", {{"tool", "meshplan"}, {"version", MESHPLAN_VERSION}}},
                     {"folder", q.folder},
                     {"files", std::move(files)},
                     {"not_said", std::move(losses)}};
    if (!written.losses.empty()) {
      document["plan_step_time_s"] = answer.step_s;
      document["written_step_time_s"] = answer.written_step_s;
    }
    print(document);
    return 0;
  }
  std::string text = fmt::format("{}: {}, {}\n", q.folder, trainer, to_text(written.plan));
  for (const auto& file : written.files) text += fmt::format("  {}\n", file.name);
  for (const auto& loss : written.losses)
    text += fmt::format("not said    {}: {} in the plan, {} by the trainer{}\n", loss.knob,
                        loss.wanted.empty() ? "none" : loss.wanted,
                        loss.written.empty() ? "its own" : loss.written,
                        loss.why.empty() ? "" : "; " + loss.why);
  if (!written.losses.empty())
    text += fmt::format("that costs  {:+.1f} %: {} a step instead of {}\n",
                        100 * (answer.written_step_s / answer.step_s - 1),
                        report::seconds(answer.written_step_s), report::seconds(answer.step_s));
  print(text);
  return 0;
}

}  // namespace meshplan::cli
