// SPDX-License-Identifier: Apache-2.0
// meshplan size: how few GPUs train this model in that time?
#include <fmt/format.h>

#include <thread>

#include "planner/cli/inputs.hpp"
#include "planner/cli/plan_flags.hpp"
#include "planner/cli/progress.hpp"
#include "planner/cli/scale_flags.hpp"
#include "planner/report/format.hpp"
#include "planner/scale/render.hpp"

namespace meshplan::cli {

int run_size(const Arguments& arguments) {
  CLI::App app(
      "The smallest cluster that trains a model on so many tokens in so many days.\n\n"
      "  meshplan size llama3-70b --days 30 --tokens 15e12 --gpu H100\n"
      "  meshplan size 7B llama3-roce --days 10 --tokens 2e12 --json\n",
      "meshplan size");
  InputFlags inputs;
  PlanFlags axes;
  ScaleFlags money;
  std::string days, gpu, threads;
  add_input_flags(app, inputs);
  add_plan_flags(app, axes, true);
  app.add_option("--days", days, "until the training is done, failures included")->group("Target");
  app.add_option("--gpu", gpu, "kind of GPU, in the place of CLUSTER")->group("Target");
  app.add_option("--threads", threads, "threads of the search; all cores if not given")
      ->group("Search");
  add_scale_flags(app, money);
  MESHPLAN_CLI_PARSE(app, arguments);
  const bool json = inputs.json;
  const auto wrong = [&](const char* message, const char* where, const char* hint) {
    return fail({.kind = ErrorKind::usage, .message = message, .where = where, .hint = hint}, json);
  };
  if (days.empty()) return wrong("the target is missing", "--days", "e.g. --days 30");
  if (!gpu.empty() && !inputs.cluster.empty())
    return wrong("--gpu and CLUSTER say the same thing", "--gpu", "give one of them");
  if (!inputs.gpus.empty())
    return wrong("the number of GPUs is what is asked for", "--gpus", "leave it out");
  if (!gpu.empty()) inputs.cluster = gpu;
  MESHPLAN_CLI_TRY(report::Question question, resolve(inputs), json);
  SizeQuestion size;
  MESHPLAN_CLI_TRY(size.days, real_number(days, "--days", 1e-3), json);
  MESHPLAN_CLI_TRY(size.search, search_question(question, axes), json);
  size.batch_stated = !inputs.global_batch.empty() || !inputs.global_batch_tokens.empty();
  size.batch_of = default_global_batch;
  MESHPLAN_CLI_TRY(ScaleInputs figures, scale_inputs(money, question.defaults), json);
  size.search.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (!threads.empty()) {
    MESHPLAN_CLI_TRY(const int64_t n, whole_number(threads, "--threads"), json);
    size.search.threads = static_cast<int>(std::min<int64_t>(n, 1024));
  }
  auto found = [&] {
    const Progress progress("searching");
    SearchMemory memory;
    return size_for(size, figures, memory);
  }();
  MESHPLAN_CLI_TRY(const SizeAnswer answer, std::move(found), json);
  if (json)
    print(report::to_json(answer, figures, question));
  else
    print(report::to_text(answer, figures));
  if (answer.chosen) return 0;
  note(
      "no number of GPUs meets the target: more days, fewer tokens, a larger batch or a faster "
      "GPU");
  return static_cast<int>(ErrorKind::no_plan);
}

}  // namespace meshplan::cli
