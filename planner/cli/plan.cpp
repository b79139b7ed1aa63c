// SPDX-License-Identifier: Apache-2.0
// meshplan plan: which plan trains this model fastest on this cluster?
#include <fmt/format.h>

#include <thread>

#include "planner/cli/inputs.hpp"
#include "planner/cli/outputs.hpp"
#include "planner/cli/plan_flags.hpp"
#include "planner/cli/progress.hpp"
#include "planner/report/answer.hpp"
#include "planner/report/format.hpp"
#include "planner/search/pareto.hpp"
#include "planner/search/remedy.hpp"
#include "strategies/embedding/workload.hpp"

namespace meshplan::cli {
namespace {

/// Rates in the convention that was asked for; what would help when nothing fits.
void finish_answer(const SearchQuestion& asked, const report::Question& q, SearchResult& answer) {
  const double counted = model_flops_per_token(q.model, q.batch.sequence, q.convention) /
                         model_flops_per_token(q.model, q.batch.sequence);
  for (auto* plans : {&answer.plans, &answer.pareto}) {
    for (StepEstimate& plan : *plans) {
      plan.tflops_per_gpu *= counted;
      plan.mfu *= counted;
    }
  }
  if (const auto remedy = more_gpus(asked, answer))
    answer.none->smallest_change = fmt::format(
        "{} GPUs of this kind: {} takes {} of memory and {} a step; or {} times the "
        "memory on each of these",
        report::grouped(remedy->gpus), report::brief(remedy->plan.plan),
        report::gib(static_cast<double>(remedy->plan.peak_memory_bytes)),
        report::seconds(remedy->plan.step_s),
        report::significant(static_cast<double>(answer.none->needed_bytes) /
                            static_cast<double>(answer.none->capacity_bytes)));
}

}  // namespace

int run_plan(const Arguments& arguments) {
  if (!arguments.empty() && graph::is_workload_file(arguments.front()))
    return run_plan_graph(arguments);
  CLI::App app(
      "The best plans of a model on a cluster, why, and how they were found.\n\n"
      "  meshplan plan llama3-405b 2048x8xH100 --seq 8192 --global-batch 2048\n"
      "  meshplan plan 70B 512xH100 --tp 8 --pp 1..8 --forbid cp\n"
      "  meshplan plan path/to/config.json path/to/cluster.yaml --save plan.yaml\n",
      "meshplan plan");
  InputFlags inputs;
  PlanFlags axes;
  OutputFlags outputs;
  std::string top = "5", threads;
  bool no_bounds = false, pareto = false;
  add_input_flags(app, inputs);
  add_plan_flags(app, axes, true);
  app.add_option("--top", top, "plans to show (5)")->group("Search");
  app.add_option("--threads", threads, "threads of the search; all cores if not given")
      ->group("Search");
  app.add_flag("--no-bounds", no_bounds, "price every plan that fits")->group("Search");
  app.add_flag("--pareto", pareto, "also what less memory costs in time: a search each")
      ->group("Search");
  add_output_flags(app, outputs);
  MESHPLAN_CLI_PARSE(app, arguments);

  MESHPLAN_CLI_TRY(const report::Question question, resolve(inputs), inputs.json);
  MESHPLAN_CLI_TRY(SearchQuestion search_for, search_question(question, axes), inputs.json);
  if (question.plan && search_for.micro_batch.open()) {
    // The plan's own micro-batch is among those of its search, power of two or not.
    for (int64_t size = 1; size <= question.batch.global_sequences; size *= 2)
      search_for.micro_batch.values.push_back(size);
    search_for.micro_batch.values.push_back(question.plan->micro_batch);
  }
  MESHPLAN_CLI_TRY(const int64_t top_k, whole_number(top, "--top"), inputs.json);
  search_for.top_k = static_cast<int>(std::min<int64_t>(top_k, 10'000));
  search_for.bounds = !no_bounds;
  search_for.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (!threads.empty()) {
    MESHPLAN_CLI_TRY(const int64_t n, whole_number(threads, "--threads"), inputs.json);
    search_for.threads = static_cast<int>(std::min<int64_t>(n, 1024));
  }
  auto found = [&]() -> Result<SearchResult> {
    const Progress progress("searching");
    MESHPLAN_TRY(SearchResult answer, search(search_for));
    if (pareto && !answer.plans.empty()) {
      MESHPLAN_TRY(answer.pareto, pareto_set(search_for, answer.plans.front()));
    }
    finish_answer(search_for, question, answer);
    return answer;
  }();
  MESHPLAN_CLI_TRY(const SearchResult result, std::move(found), inputs.json);

  if (inputs.json)
    print(to_json(result, question));
  else
    print(to_text(result, question));
  if (result.plans.empty()) {
    const bool memory = result.none && result.none->plan;
    complain_briefly(memory ? "no plan fits" : "no plan is legal",
                     inputs.json && result.none ? result.none->smallest_change : "");
    return static_cast<int>(ErrorKind::no_plan);
  }
  MESHPLAN_CLI_TRY(const bool saved, save(outputs, question, result.plans.front()), inputs.json);
  if (!inputs.json) {
    note(fmt::format("searched in {}", report::seconds(result.search_s)));
    if (!saved) note("--save FILE keeps the plan for simulate, explain and compare");
  }
  return 0;
}

}  // namespace meshplan::cli
