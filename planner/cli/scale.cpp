// SPDX-License-Identifier: Apache-2.0
// meshplan scale: what does the next GPU buy?
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <thread>

#include "planner/cli/inputs.hpp"
#include "planner/cli/plan_flags.hpp"
#include "planner/cli/progress.hpp"
#include "planner/cli/scale_flags.hpp"
#include "planner/report/format.hpp"
#include "planner/scale/render.hpp"
#include "topologies/base/files.hpp"

namespace meshplan::cli {
namespace {

struct Flags {
  InputFlags inputs;
  PlanFlags axes;
  ScaleFlags money;
  std::string models, gpus, critical_batch, knee = "0.5", csv, html, threads;
  bool weak = false, strong = false, no_baselines = false;
};

void add_flags(CLI::App& app, Flags& f) {
  add_input_flags(app, f.inputs);
  add_plan_flags(app, f.axes, true);
  const char* sweep = "Sweep (--gpus 8..131072 doubles, or 64,128,256; --seq may be a list)";
  app.add_flag("--strong", f.strong, "the batch stays (default)")->group(sweep);
  app.add_flag("--weak", f.weak,
               "the batch grows with the GPUs; --global-batch is that of the fewest, else one "
               "sequence a GPU")
      ->group(sweep);
  app.add_option("--model", f.models, "these models, too: 7B,13B,70B")->group(sweep);
  app.add_option("--gpu", f.gpus, "on these GPUs, too: V100,A100,H100,B200")->group(sweep);
  app.add_option("--critical-batch", f.critical_batch,
                 "tokens of a batch beyond which more of it teaches little: warns")
      ->group(sweep);
  app.add_option("--knee", f.knee, "share of a GPU's best worth that a new one must add (0.5)")
      ->group(sweep);
  app.add_flag("--no-baselines", f.no_baselines, "without pure FSDP, FSDP + TP, FSDP + PP")
      ->group(sweep);
  app.add_option("--threads", f.threads, "threads of the search; all cores if not given")
      ->group("Search");
  add_scale_flags(app, f.money);
  app.add_option("--csv", f.csv, "one line for each way to train at each point")->group("Output");
  app.add_option("--html", f.html, "a page with charts, in one file, no network needed")
      ->group("Output");
}

/// One curve: this model on this cluster with this sequence.
Result<ScaleQuestion> curve_of(const Flags& f, const std::string& model, const std::string& cluster,
                               const std::string& sequence, const std::vector<int64_t>& gpus,
                               report::Question& question) {
  InputFlags inputs = f.inputs;
  inputs.model = model;
  inputs.cluster = cluster;
  inputs.sequence = sequence;
  inputs.gpus.clear();
  const bool stated = !inputs.global_batch.empty() || !inputs.global_batch_tokens.empty();
  MESHPLAN_TRY(question, resolve(inputs));
  if (!stated && !question.plan) {
    // Strong: such that it can be cut for the most GPUs, too.
    question.batch.global_sequences =
        f.weak ? gpus.front() : default_global_batch(question.batch.sequence, gpus.back());
    for (std::string& line : question.defaults)
      if (line.rfind("--global-batch", 0) == 0)
        line = fmt::format("--global-batch {}", question.batch.global_sequences);
  }
  ScaleQuestion out;
  MESHPLAN_TRY(out.search, search_question(question, f.axes));
  out.gpus = gpus;
  out.scaling = f.weak ? Scaling::weak : Scaling::strong;
  out.label = fmt::format("{} on {}", question.model.id, question.cluster.id);
  if (comma_separated(f.inputs.sequence).size() > 1)
    out.label += fmt::format(", sequence {}", report::grouped(question.batch.sequence));
  return out;
}

Result<std::vector<ScaleQuestion>> curves_of(const Flags& f, const std::vector<int64_t>& gpus,
                                             std::vector<report::Question>& questions) {
  std::vector<std::string> models = {f.inputs.model}, clusters = {f.inputs.cluster};
  for (const auto& model : comma_separated(f.models)) models.push_back(model);
  for (const auto& gpu : comma_separated(f.gpus)) clusters.push_back(gpu);
  std::vector<std::string> sequences = comma_separated(f.inputs.sequence);
  if (sequences.empty()) sequences.emplace_back();
  std::vector<ScaleQuestion> out;
  for (const auto& model : models)
    for (const auto& cluster : clusters)
      for (const auto& sequence : sequences) {
        questions.emplace_back();
        MESHPLAN_TRY(ScaleQuestion next,
                     curve_of(f, model, cluster, sequence, gpus, questions.back()));
        out.push_back(std::move(next));
      }
  return out;
}

Status write_files(const Flags& f, const ScaleReport& report) {
  if (!f.csv.empty()) MESHPLAN_CHECK(write_file(f.csv, report::to_csv(report)));
  if (!f.html.empty()) MESHPLAN_CHECK(write_file(f.html, report::to_html(report)));
  return Done{};
}

}  // namespace

int run_scale(const Arguments& arguments) {
  CLI::App app(
      "What the next GPU buys: the best plan at each number of GPUs, beside fixed ways to "
      "train.\n\n"
      "  meshplan scale llama3-405b H100 --gpus 8..131072 --seq 8192 --global-batch 2048\n"
      "  meshplan scale 7B H100 --gpus 8..2048 --weak --trainer fair-fsdp --html report.html\n"
      "  meshplan scale 7B A100 --model 13B,70B --gpu H100,B200 --gpus 64..4096\n",
      "meshplan scale");
  Flags f;
  add_flags(app, f);
  MESHPLAN_CLI_PARSE(app, arguments);
  const bool json = f.inputs.json;
  if (f.weak && f.strong)
    return fail({.kind = ErrorKind::usage,
                 .message = "--weak and --strong exclude each other",
                 .where = "--strong",
                 .hint = "give one of them"},
                json);
  if (f.inputs.gpus.empty()) f.inputs.gpus = "8..16384";
  ScaleReport report;
  MESHPLAN_CLI_TRY(const std::vector<int64_t> gpus, counts_from(f.inputs.gpus, "--gpus"), json);
  std::vector<report::Question> questions;
  MESHPLAN_CLI_TRY(std::vector<ScaleQuestion> curves, curves_of(f, gpus, questions), json);
  report.defaults = questions.front().defaults;
  MESHPLAN_CLI_TRY(report.inputs, scale_inputs(f.money, report.defaults), json);
  MESHPLAN_CLI_TRY(report.inputs.knee_share, real_number(f.knee, "--knee", 0), json);
  if (!f.critical_batch.empty()) {
    MESHPLAN_CLI_TRY(report.inputs.critical_batch_tokens,
                     real_number(f.critical_batch, "--critical-batch", 1), json);
  }
  report.inputs.with_baselines = !f.no_baselines;
  report.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (!f.threads.empty()) {
    MESHPLAN_CLI_TRY(const int64_t n, whole_number(f.threads, "--threads"), json);
    report.threads = static_cast<int>(std::min<int64_t>(n, 1024));
  }
  report.command = fmt::format("meshplan scale {}", fmt::join(arguments, " "));

  const auto start = std::chrono::steady_clock::now();
  bool any = false;
  {
    const Progress progress("searching");
    SearchMemory memory;
    for (ScaleQuestion& question : curves) {
      question.search.threads = report.threads;
      MESHPLAN_CLI_TRY(ScaleCurve curve, scale(question, report.inputs, memory), json);
      for (const ScalePoint& point : curve.points) any = any || point.best.has_value();
      report.curves.push_back(std::move(curve));
    }
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (json)
    print(report::to_json(report, questions.front()));
  else
    print(report::to_text(report));
  if (const Status written = write_files(f, report); !written.ok())
    return fail(written.error(), json);
  if (!any) {
    note("no point has a plan: 'meshplan plan' at one of them says what would help");
    return static_cast<int>(ErrorKind::no_plan);
  }
  if (!json) note(fmt::format("searched in {}", report::seconds(report.seconds)));
  return 0;
}

}  // namespace meshplan::cli
