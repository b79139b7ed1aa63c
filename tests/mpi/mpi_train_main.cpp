// SPDX-License-Identifier: Apache-2.0
// The same plan between processes and between threads: mpirun -n 4 mpi_train. Rank 0 repeats the
// run on threads and prints whether losses and gradient norms have the same bits.
#include <cstdio>
#include <vector>

#include "profiler/comm/mpi_world.hpp"
#include "tests/unit/validate/parity.hpp"

int main() {
  using namespace meshplan;  // NOLINT
  RunOptions options;
  options.steps = 5;
  options.initial.deviation = 0.1;
  const Model model = test::small_llama();
  const RandomTokens tokens(model.vocabulary, 5);
  std::vector<Plan> plans(4, test::fp32_plan());
  plans[0].tp = plans[0].pp = 2;
  plans[1].cp = plans[1].dp_shard = 2;
  plans[1].zero = 3;
  plans[1].cp_kind = ContextParallel::ring;
  plans[2].pp = plans[2].vpp = 2;
  plans[2].schedule = ScheduleKind::interleaved;
  plans[2].dp_shard = 2;
  plans[2].zero = 1;
  plans[3].pp = 4;
  plans[3].schedule = ScheduleKind::zb_h1;

  std::vector<std::vector<StepResult>> results(plans.size());
  bool first = false;
  const Status status = run_mpi_rank({.timeout_s = 30}, [&](World& world) -> Status {
    first = world.rank() == 0;
    for (size_t i = 0; i < plans.size(); ++i) {
      MESHPLAN_TRY(
          const Program program,
          lower(model, plans[i], {test::kSequence, test::kSequences}, test::fp32_trainer()));
      MESHPLAN_TRY(const std::unique_ptr<RankRun> run,
                   RankRun::make(world, program, options, tokens));
      for (int64_t step = 0; step < options.steps; ++step) {
        MESHPLAN_TRY(const StepResult result, run->step());
        results[i].push_back(result);
      }
    }
    return Done{};
  });
  bool same = status.ok();
  for (size_t i = 0; first && same && i < plans.size(); ++i) {
    const auto threads = test::run(model, plans[i], test::fp32_trainer(), options);
    same = threads.ok() && threads->steps.size() == results[i].size();
    for (size_t s = 0; same && s < results[i].size(); ++s) {
      same = threads->steps[s].loss == results[i][s].loss &&
             threads->steps[s].gradient_norm == results[i][s].gradient_norm;
      if (!same) std::printf("%s, step %zu differs\n", to_text(plans[i]).c_str(), s);
    }
  }
  if (first) {
    if (!status.ok()) std::printf("%s\n", render(status.error()).c_str());
    std::printf("%s\n", same ? "as expected" : "not as expected");
    std::fflush(stdout);
  }
  finish_mpi(same ? 0 : 1);
  return same ? 0 : 1;
}
