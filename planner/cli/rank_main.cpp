// SPDX-License-Identifier: Apache-2.0
// meshplan-rank: one rank of a plan, of a transformer or a graph, under mpirun, srun or torchrun.
// `validate run` for processes.
#include <fmt/format.h>

#include <iostream>
#include <numeric>

#include "planner/cli/run_flags.hpp"
#include "planner/planfile/planfile.hpp"
#include "profiler/comm/launched_world.hpp"
#include "profiler/comm/mpi_world.hpp"
#include "strategies/embedding/workload.hpp"

namespace meshplan::cli {
namespace {

/// 1 on every rank if all ranks counted what was expected of them.
Result<bool> agreed(World& world, bool mine) {
  std::vector<int> everyone(static_cast<size_t>(world.size()));
  std::iota(everyone.begin(), everyone.end(), 0);
  MESHPLAN_TRY(const std::unique_ptr<Communicator> group, world.group(everyone, "report"));
  double wrong = mine ? 0 : 1;
  MESHPLAN_CHECK(group->all_reduce(&wrong, 1));
  return wrong == 0;
}

int run_rank(const Arguments& arguments) {
  CLI::App app(
      "Trains a plan file between processes. Rank 0 reports; what it counts is its own share. With "
      "a\ngraph workload or a plan of one: meshplan-rank GRAPH --help.\n\n"
      "  mpirun -n 8 meshplan-rank plan.yaml --steps 10\n"
      "  torchrun --no-python --nproc-per-node 8 meshplan-rank plan.yaml   # meets at "
      "MASTER_ADDR\n",
      "meshplan-rank");
  std::string plan;
  RunQuestion question;
  RunFlags flags;
  bool json = false;
  app.add_option("PLAN", plan, "plan file, as 'meshplan plan --save' writes it")->required();
  add_run_flags(app, flags);
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(const planfile::PlanFile file, planfile::read(plan), json);
  question.model = file.model;
  question.plan = file.plan;
  question.batch = file.batch;
  question.trainer = file.trainer;
  if (const Status status = apply_run_flags(flags, question); !status.ok()) {
    return fail(status.error(), json);
  }
  if (question.gpu) question.gpu->processes = true;
  MESHPLAN_CLI_TRY(const Executable executable, make_executable(question), json);
  MESHPLAN_CLI_TRY(const RunInputs inputs, open_inputs(executable.question), json);

  RunAnswer answer;
  bool first = true, right = true;
  const auto rank_main = [&](World& world) -> Status {
    first = world.rank() == 0;
    RankReport report;
    MESHPLAN_TRY(std::vector<StepResult> steps, train_rank(world, executable, inputs, &report));
    MESHPLAN_TRY(answer, answer_of(executable, std::move(steps), {report}));
    MESHPLAN_TRY(right, agreed(world, answer.ledger_equal() && answer.memory_equal));
    return Done{};
  };
  const Status status = run_launched_rank(question.world, rank_main);
  int code = 0;
  if (!status.ok()) {
    code = first ? fail(status.error(), json) : static_cast<int>(status.error().kind);
  } else if (first) {
    print(json ? to_json(answer) : to_text(answer));
    if (!right) {
      code = fail({.kind = ErrorKind::check,
                   .message = "what the ranks counted is not what the plan predicts"},
                  false);
    }
  }
  return code;
}

int run_any(const Arguments& arguments) {
  const bool graph = !arguments.empty() && graph::is_workload_file(arguments.front());
  const int code = graph ? run_rank_graph(arguments) : run_rank(arguments);
  std::cout.flush();
  finish_mpi(code);
  return code;
}

}  // namespace
}  // namespace meshplan::cli

int main(int argc, char** argv) {
  return meshplan::cli::run_any(meshplan::cli::Arguments(argv + 1, argv + argc));
}
