// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/thread_run.hpp"

#include <algorithm>
#include <mutex>

#include "profiler/comm/thread_world.hpp"

namespace meshplan {
namespace {

enum class What { gradient, weight };

/// Copies a rank's shards into whole tensors.
Status collect(RankRun& run, What what, std::mutex& mutex, Tensors& tensors) {
  const std::lock_guard lock(mutex);
  return for_each_shard(run.stage(), run.env(), [&](const ShardView& view) -> Status {
    std::vector<float>& whole = tensors[view.part.tensor];
    whole.resize(static_cast<size_t>(view.part.tensor_rows * view.part.tensor_cols));
    std::vector<float> own(static_cast<size_t>(view.range.count));
    MESHPLAN_CHECK(
        get(run.env().device(), what == What::gradient ? view.gradient : view.master, own));
    for_each_run(view.part, view.range, [&](int64_t element, int64_t offset, int64_t count) {
      std::copy_n(own.begin() + offset, count, whole.begin() + element);
    });
    return Done{};
  });
}

}  // namespace

Result<RunReport> run_on_threads(const Program& program, const ThreadRun& run,
                                 const TokenSource& tokens) {
  RunReport report;
  const auto ranks = static_cast<int>(program.plan.world());
  report.ranks.resize(static_cast<size_t>(ranks));
  std::mutex mutex;
  const auto rank_main = [&](World& world) -> Status {
    MESHPLAN_TRY(const std::unique_ptr<RankRun> mine,
                 RankRun::make(world, program, run.options, tokens, run.weights));
    for (int64_t step = 0; step < run.options.steps; ++step) {
      MESHPLAN_TRY(const StepResult result, mine->step());
      if (world.rank() == 0) report.steps.push_back(result);
      if (run.collect && step == 0) {
        MESHPLAN_CHECK(collect(*mine, What::gradient, mutex, report.gradients));
      }
    }
    if (run.collect) MESHPLAN_CHECK(collect(*mine, What::weight, mutex, report.weights));
    report.ranks[static_cast<size_t>(world.rank())] = mine->report(world);
    return Done{};
  };
  MESHPLAN_CHECK(run_ranks(ranks, run.world, rank_main));
  return report;
}

}  // namespace meshplan
