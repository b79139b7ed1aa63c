// SPDX-License-Identifier: Apache-2.0
#include "planner/search/search.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <thread>

#include "planner/search/walk.hpp"

namespace meshplan {
namespace {

/// Plans this much above the fastest one by closed form are still simulated: what the closed form
/// and the simulation may differ by.
constexpr double kMargin = 0.05;
constexpr size_t kFinalists = 64;

/// Fixed order between plans of equal time, so that answers are reproducible: simpler first.
bool simpler(const Plan& a, const Plan& b) {
  const auto key = [](const Plan& p) {
    return std::make_tuple(p.tp * p.pp * p.cp * p.ep, p.vpp, static_cast<int>(p.recompute), p.zero,
                           p.dp_replicate, p.optimizer_offload, static_cast<int>(p.schedule), p.tp,
                           p.pp, p.cp, p.ep, p.etp, p.micro_batch, p.recompute_modules,
                           p.schedule_group, !p.reshard_after_forward, !p.sequence_parallel,
                           static_cast<int>(p.cp_kind));
  };
  return key(a) < key(b);
}

void merge(WalkResult& into, WalkResult&& from) {
  into.funnel.visited += from.funnel.visited;
  into.funnel.out_of_memory += from.funnel.out_of_memory;
  into.funnel.bounded += from.funnel.bounded;
  into.funnel.priced += from.funnel.priced;
  into.funnel.covered += from.funnel.covered;
  for (const auto& [rule, count] : from.funnel.refused) into.funnel.refused[rule] += count;
  into.best.insert(into.best.end(), from.best.begin(), from.best.end());
  if (from.leanest && (!into.leanest || from.leanest_bytes < into.leanest_bytes)) {
    into.leanest = from.leanest;
    into.leanest_bytes = from.leanest_bytes;
  }
}

void sort_candidates(std::vector<Candidate>& best) {
  std::sort(best.begin(), best.end(), [](const Candidate& a, const Candidate& b) {
    return a.seconds != b.seconds ? a.seconds < b.seconds : simpler(a.plan, b.plan);
  });
}

/// First cutoff: the best of a sample of the axes.
double first_cutoff(const SearchQuestion& question, const CostModel& costs,
                    const RuleChecker& rules, const std::vector<PassChoice>& choices) {
  double best = std::numeric_limits<double>::infinity();
  int least_cp = 1 << 30;
  for (const PassChoice& choice : choices) least_cp = std::min(least_cp, choice.cp);
  for (const PassChoice& choice : choices) {
    const bool sample = choice.tp <= 8 && (choice.tp & (choice.tp - 1)) == 0 &&
                        choice.cp == least_cp &&
                        choice.sequence_parallel == question.trainer.sequence_parallel_default;
    if (!sample && choices.size() > 4) continue;
    Walk walk(question, costs, rules);
    WalkLimits limits{best, 1, true};
    const WalkResult result = walk.run(choice, limits);
    if (!result.best.empty()) best = std::min(best, result.best.front().seconds);
  }
  return best * (1 + kMargin);
}

WalkResult walk_all(const SearchQuestion& question, const CostModel& costs,
                    const RuleChecker& rules, const std::vector<PassChoice>& choices) {
  const double cutoff = question.bounds ? first_cutoff(question, costs, rules, choices)
                                        : std::numeric_limits<double>::infinity();
  std::vector<WalkResult> results(choices.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < choices.size(); i = next++) {
      Walk walk(question, costs, rules);
      results[i] = walk.run(choices[i], {cutoff, kFinalists, false});
    }
  };
  std::vector<std::thread> threads;
  for (int t = 1; t < question.threads; ++t) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  WalkResult all;
  for (WalkResult& result : results) merge(all, std::move(result));
  sort_candidates(all.best);
  if (all.best.size() > kFinalists) all.best.resize(kFinalists);
  return all;
}

TightestConstraint tightest(const SearchQuestion& question, const WalkResult& all) {
  TightestConstraint none;
  if (all.leanest) {
    none.rule = "memory";
    none.plan = all.leanest;
    none.needed_bytes = all.leanest_bytes;
    const Gpu& gpu = question.cluster.gpu;
    none.capacity_bytes = gpu.memory_usable_bytes > 0 ? gpu.memory_usable_bytes : gpu.memory_bytes;
    const auto factor =
        static_cast<double>(none.needed_bytes) / static_cast<double>(none.capacity_bytes);
    none.smallest_change = fmt::format(
        "{:.2f} times the memory per GPU, or at least {} GPUs of this kind", factor,
        static_cast<int64_t>(static_cast<double>(question.cluster.gpus()) * factor) + 1);
    return none;
  }
  int64_t most = 0;
  for (const auto& [rule, count] : all.funnel.refused) {
    if (count > most) {
      most = count;
      none.rule = rule;
    }
  }
  none.smallest_change = "loosen a constraint, or change the number of GPUs or the batch";
  return none;
}

}  // namespace

Result<SearchResult> search(const SearchQuestion& question) {
  const auto start = std::chrono::steady_clock::now();
  MESHPLAN_TRY(const Constants constants, load_constants());
  MESHPLAN_TRY(const auto costs, CostModel::load(question.cluster, constants));
  const RuleChecker rules(question.model, question.batch, question.trainer,
                          question.cluster.gpus());
  const std::vector<PassChoice> choices = pass_choices(question);
  WalkResult all = walk_all(question, *costs, rules, choices);

  SearchResult result;
  result.funnel = all.funnel;
  result.threads = question.threads;
  for (const Candidate& candidate : all.best) {
    if (candidate.seconds > all.best.front().seconds * (1 + 2 * kMargin)) break;
    auto estimate = estimate_step(*costs, question.model, candidate.plan, question.batch,
                                  question.trainer, {FlopsConvention::causal, false});
    if (estimate.ok()) result.plans.push_back(std::move(estimate).value());
  }
  std::stable_sort(result.plans.begin(), result.plans.end(),
                   [](const StepEstimate& a, const StepEstimate& b) {
                     return a.step_s != b.step_s ? a.step_s < b.step_s : simpler(a.plan, b.plan);
                   });
  if (result.plans.size() > static_cast<size_t>(question.top_k)) {
    result.plans.resize(static_cast<size_t>(question.top_k));
  }
  for (const StepEstimate& plan : result.plans) {
    result.tie.push_back(plan.step_low_s <= result.plans.front().step_s);
  }
  if (result.plans.empty()) result.none = tightest(question, all);
  result.search_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace meshplan
