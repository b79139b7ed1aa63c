// SPDX-License-Identifier: Apache-2.0
#include "planner/search/search.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <thread>

#include "planner/search/seeds.hpp"
#include "planner/search/walk.hpp"

namespace meshplan {
namespace {

/// Plans this much above the fastest one by closed form are still simulated: what the closed form
/// and the simulation may differ by.
constexpr double kMargin = 0.03;
constexpr size_t kFinalists = 24;
constexpr size_t kRound = 8;    ///< units that are walked with the same cutoff
constexpr size_t kSamples = 6;  ///< units sampled for the first cutoff

/// Fixed order between plans of equal time, so that answers are reproducible: simpler first.
bool simpler(const Plan& a, const Plan& b) {
  const auto key = [](const Plan& p) {
    return std::make_tuple(p.tp * p.pp * p.cp * p.ep, p.vpp, static_cast<int>(p.recompute), p.zero,
                           p.dp_replicate, p.optimizer_offload, static_cast<int>(p.schedule), p.tp,
                           p.pp, p.cp, p.ep, p.etp, p.micro_batch, p.recompute_modules,
                           p.recompute_layers, p.schedule_group, !p.reshard_after_forward,
                           !p.sequence_parallel, static_cast<int>(p.cp_kind));
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

struct Unit {
  PassChoice choice;
  double bound = 0;
  size_t order = 0;  ///< as enumerated
};

/// Applies `work` to every index below `count`, on the question's threads.
void in_parallel(const SearchQuestion& question, size_t count,
                 const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::thread> threads;
  for (int t = 1; t < question.threads && static_cast<size_t>(t) < count; ++t) {
    threads.emplace_back(run);
  }
  run();
  for (std::thread& thread : threads) thread.join();
}

/// What no plan may exceed to be of interest: by the seeds, else by a sample of the axes of the
/// most promising units. Only what plans of the question reach counts.
double first_cutoff(const SearchQuestion& question, const CostModel& costs,
                    const RuleChecker& rules, const std::vector<Unit>& units, BlockStores& stores) {
  double cutoff = std::numeric_limits<double>::infinity();
  std::vector<double> reached;
  for (const auto& [choice, plan] : plans_like(question)) {
    Walk walk(question, costs, rules, store_of(stores, choice));
    if (const auto seconds = walk.seconds_of(plan)) reached.push_back(*seconds);
  }
  if (!reached.empty()) {
    std::sort(reached.begin(), reached.end());
    cutoff = reached.front() * (1 + kMargin);
    if (reached.size() >= kFinalists) cutoff = std::min(cutoff, reached[kFinalists - 1]);
    return cutoff;
  }
  for (size_t i = 0; i < std::min(kSamples, units.size()); ++i) {
    Walk walk(question, costs, rules, store_of(stores, units[i].choice));
    const WalkResult sample = walk.run(units[i].choice, {cutoff, 1, true});
    if (!sample.best.empty()) {
      cutoff = std::min(cutoff, sample.best.front().seconds * (1 + kMargin));
    }
  }
  return cutoff;
}

/// Units with the smallest bound first, in rounds: within a round every unit knows the best of the
/// rounds before, whatever the number of threads.
WalkResult walk_all(const SearchQuestion& question, const CostModel& costs,
                    const RuleChecker& rules, const std::vector<PassChoice>& choices,
                    BlockStores& stores, bool keep_blocks) {
  for (const PassChoice& choice : choices) store_of(stores, choice);  // before threads look them up
  std::vector<Unit> units(choices.size());
  in_parallel(question, choices.size(), [&](size_t i) {
    Walk walk(question, costs, rules, store_of(stores, choices[i]));
    units[i] = {choices[i], question.bounds ? walk.unit_bound(choices[i]) : 0, i};
  });
  std::stable_sort(units.begin(), units.end(),
                   [](const Unit& a, const Unit& b) { return a.bound < b.bound; });
  WalkResult all;
  double cutoff = std::numeric_limits<double>::infinity();
  if (question.bounds) cutoff = first_cutoff(question, costs, rules, units, stores);
  for (size_t begin = 0; begin < units.size(); begin += kRound) {
    const size_t count = std::min(kRound, units.size() - begin);
    std::vector<WalkResult> results(count);
    in_parallel(question, count, [&](size_t i) {
      PassStore& store = store_of(stores, units[begin + i].choice);
      Walk walk(question, costs, rules, store);
      results[i] = walk.run(units[begin + i].choice, {cutoff, kFinalists, false});
      if (!keep_blocks) store = {};
    });
    for (WalkResult& result : results) merge(all, std::move(result));
    sort_candidates(all.best);
    if (all.best.size() > kFinalists) all.best.resize(kFinalists);
    if (question.bounds && !all.best.empty()) {
      cutoff = std::min(cutoff, all.best.front().seconds * (1 + kMargin));
      if (all.best.size() == kFinalists) cutoff = std::min(cutoff, all.best.back().seconds);
    }
  }
  return all;
}

TightestConstraint tightest(const SearchQuestion& question, const WalkResult& all) {
  TightestConstraint none;
  if (all.leanest) {
    none.rule = "memory";
    none.plan = all.leanest;
    none.needed_bytes = all.leanest_bytes;
    none.capacity_bytes = question.cluster.gpu.memory_usable_bytes;
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

struct SearchMemory::Kept {
  std::optional<Constants> constants;
  CalibrationCache calibration;
  std::string about;  ///< what the blocks belong to
  BlockStores blocks;
};

SearchMemory::SearchMemory() : kept_(std::make_unique<Kept>()) {}
SearchMemory::~SearchMemory() = default;

namespace {

Result<std::shared_ptr<const CostModel>> costs_of(SearchMemory::Kept& kept,
                                                  const Cluster& cluster) {
  if (!kept.constants) {
    MESHPLAN_TRY(kept.constants, load_constants());
  }
  MESHPLAN_TRY(auto calibration, kept.calibration.get(cluster.gpu));
  return std::make_shared<const CostModel>(cluster, *kept.constants, std::move(calibration));
}

Result<SearchResult> search(const SearchQuestion& question, SearchMemory::Kept& kept,
                            bool keep_blocks) {
  if (question.keep_free_percent > 0) {
    SearchQuestion smaller = question;
    smaller.keep_free_percent = 0;
    int64_t& memory = smaller.cluster.gpu.memory_usable_bytes;
    memory = memory * (100 - question.keep_free_percent) / 100;
    MESHPLAN_TRY(SearchResult found, search(smaller, kept, keep_blocks));
    found.keep_free_percent = question.keep_free_percent;
    for (StepEstimate& plan : found.plans)
      plan.capacity_bytes = question.cluster.gpu.memory_usable_bytes;
    return found;
  }
  const auto start = std::chrono::steady_clock::now();
  MESHPLAN_TRY(const auto costs, costs_of(kept, question.cluster));
  std::string about =
      fmt::format("{} {} {} {} {}", question.model.name, question.trainer.id,
                  question.cluster.gpu.id, question.batch.sequence, name_of(question.compute));
  if (about != kept.about) {
    kept.blocks.clear();
    kept.about = std::move(about);
  }
  const RuleChecker rules(question.model, question.batch, question.trainer,
                          question.cluster.gpus());
  const std::vector<PassChoice> choices = pass_choices(question);
  WalkResult all = walk_all(question, *costs, rules, choices, kept.blocks, keep_blocks);

  SearchResult result;
  result.funnel = all.funnel;
  result.threads = question.threads;
  for (const Candidate& candidate : all.best) result.finalists.push_back(candidate.plan);
  for (const Candidate& candidate : all.best) {
    if (candidate.seconds > all.best.front().seconds * (1 + 2 * kMargin)) break;
    auto estimate = estimate_step(*costs, question.model, candidate.plan, question.batch,
                                  question.trainer, {FlopsConvention::causal, false});
    if (estimate.ok()) result.plans.push_back(std::move(estimate).value());
  }
  const auto fastest = [](const StepEstimate& a, const StepEstimate& b) {
    return a.step_s != b.step_s ? a.step_s < b.step_s : simpler(a.plan, b.plan);
  };
  std::stable_sort(result.plans.begin(), result.plans.end(), fastest);
  if (!result.plans.empty()) {  // of the ties, the simplest is recommended
    const double limit = result.plans.front().step_s * (1 + kTie);
    auto pick = result.plans.begin();
    for (auto plan = pick; plan != result.plans.end() && plan->step_s <= limit; ++plan) {
      if (simpler(plan->plan, pick->plan)) pick = plan;
    }
    std::rotate(result.plans.begin(), pick, pick + 1);
  }
  if (result.plans.size() > static_cast<size_t>(question.top_k)) {
    result.plans.resize(static_cast<size_t>(question.top_k));
  }
  for (const StepEstimate& plan : result.plans) {
    result.tie.push_back(std::abs(plan.step_s / result.plans.front().step_s - 1) <= kTie);
  }
  if (result.plans.empty()) result.none = tightest(question, all);
  result.search_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace

Result<std::shared_ptr<const CostModel>> SearchMemory::costs(const Cluster& cluster) {
  return costs_of(*kept_, cluster);
}

Result<SearchResult> search(const SearchQuestion& question) {
  SearchMemory memory;
  return search(question, memory.kept(), false);
}

Result<SearchResult> search(const SearchQuestion& question, SearchMemory& memory) {
  return search(question, memory.kept(), true);
}

}  // namespace meshplan
