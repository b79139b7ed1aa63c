// SPDX-License-Identifier: Apache-2.0
#include "planner/report/answer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "planner/report/format.hpp"
#include "planner/report/table.hpp"

namespace meshplan::report {
namespace {

constexpr size_t kRulesNamed = 3;

/// Plans one below the other; `marks` holds what stands before each, times are compared with the
/// first.
std::string plans_table(const std::vector<StepEstimate>& plans,
                        const std::vector<std::string>& marks, const Question& q) {
  Table table({{"", Align::right},
               {"step", Align::right},
               {"to 1", Align::right},
               {"TFLOP/s", Align::right},
               {"MFU", Align::right},
               {"memory", Align::right},
               {"plan", Align::left}});
  const double best = plans.front().step_s;
  for (size_t i = 0; i < plans.size(); ++i) {
    const StepEstimate& e = plans[i];
    table.add({marks[i], seconds(e.step_s),
               i == 0 ? "" : fmt::format("{:+.1f} %", 100 * (e.step_s / best - 1)),
               significant(e.tflops_per_gpu), percent(e.mfu),
               gib(static_cast<double>(e.peak_memory_bytes)),
               brief(e.plan) + (not_run(e, q).empty() ? "" : " (priced only)")});
  }
  return table.text();
}

std::string best_plans(const SearchResult& r, const Question& q) {
  std::vector<std::string> marks;
  bool ties = false;
  for (size_t i = 0; i < r.plans.size(); ++i) {
    const bool tie = i > 0 && i < r.tie.size() && r.tie[i];
    ties = ties || tie;
    marks.push_back(fmt::format("{}{}", tie ? "=" : "", i + 1));
  }
  std::string out = "best plans\n" + plans_table(r.plans, marks, q);
  if (ties)
    out +=
        "  = ties with 1: nearer to it than predictions are to reality; the simplest stands "
        "first\n";
  return out;
}

std::string pareto_plans(const SearchResult& r, const Question& q) {
  std::vector<std::string> marks;
  for (size_t i = 0; i < r.pareto.size(); ++i) marks.push_back(std::to_string(i + 1));
  return "less memory, at what cost\n" + plans_table(r.pareto, marks, q);
}

std::string funnel_text(const SearchResult& r) {
  const Funnel& f = r.funnel;
  int64_t refused = 0;
  std::vector<std::pair<int64_t, std::string>> rules;
  for (const auto& [rule, n] : f.refused) {
    refused += n;
    rules.emplace_back(n, rule);
  }
  std::stable_sort(rules.begin(), rules.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> named;
  for (size_t i = 0; i < std::min(rules.size(), kRulesNamed); ++i)
    named.push_back(fmt::format("{} {}", rules[i].second, grouped(rules[i].first)));
  if (rules.size() > kRulesNamed)
    named.push_back(fmt::format("{} more rules", rules.size() - kRulesNamed));
  std::string text = fmt::format(
      "{} plans visited: {} refused by a rule{}, {} out of memory{}, {} "
      "slower by their lower bound, {} priced",
      grouped(f.visited), grouped(refused),
      named.empty() ? "" : fmt::format(" ({})", fmt::join(named, ", ")), grouped(f.out_of_memory),
      r.keep_free_percent > 0 ? fmt::format(" ({} % of it kept free)", r.keep_free_percent) : "",
      grouped(f.bounded), grouped(f.priced));
  if (f.covered > f.visited)
    text += fmt::format("; {} covered with those cut in bulk", grouped(f.covered));
  return "searched   " + wrapped(text, 11) + '\n';
}

std::string none_text(const SearchResult& r) {
  const TightestConstraint& none = *r.none;
  std::string out;
  if (none.plan) {
    const auto needed = static_cast<double>(none.needed_bytes);
    const auto capacity = static_cast<double>(none.capacity_bytes);
    out += "no plan fits\n";
    out += fmt::format("tightest   memory: {} a GPU needed at least, {} there, {} too much\n",
                       gib(needed), gib(capacity), gib(needed - capacity));
    out += "leanest    " + wrapped(brief(*none.plan), 11) + '\n';
  } else {
    out += "no plan is legal\n";
    out += fmt::format("tightest   rule {}\n", none.rule);
  }
  if (!none.smallest_change.empty())
    out += "change     " + wrapped(none.smallest_change, 11) + '\n';
  return out;
}

}  // namespace

std::string to_text(const SearchResult& r, const Question& q) {
  std::string out = to_text(q) + '\n';
  if (r.plans.empty()) {
    if (r.none) out += none_text(r);
    return out + funnel_text(r);
  }
  const StepEstimate& best = r.plans.front();
  out += to_text(best, q) + '\n';
  if (r.plans.size() > 1) out += best_plans(r, q) + '\n';
  if (!r.pareto.empty()) out += pareto_plans(r, q) + '\n';
  out += funnel_text(r);
  return out + caveats(best);
}

Json to_json(const SearchResult& r, const Question& q) {
  Json refused = Json::object();
  for (const auto& [rule, n] : r.funnel.refused) refused[rule] = n;
  Json plans = Json::array();
  for (size_t i = 0; i < r.plans.size(); ++i) {
    Json plan = to_json(r.plans[i], q);
    plan["tie"] = i < r.tie.size() && r.tie[i];
    plans.push_back(std::move(plan));
  }
  Json out = {{"schema", "meshplan.plan/1"},
              {"run", {{"search_s", r.search_s}, {"threads", r.threads}}},
              {"inputs", to_json(q)},
              {"provenance", provenance_of(q)},
              {"funnel",
               {{"visited", r.funnel.visited},
                {"refused", std::move(refused)},
                {"out_of_memory", r.funnel.out_of_memory},
                {"bounded", r.funnel.bounded},
                {"priced", r.funnel.priced},
                {"covered", r.funnel.covered}}},
              {"keep_free_percent", r.keep_free_percent},
              {"plans", std::move(plans)}};
  if (!r.pareto.empty()) {
    out["pareto"] = Json::array();
    for (const StepEstimate& plan : r.pareto) out["pareto"].push_back(to_json(plan, q));
  }
  if (r.none) {
    out["none"] = {{"rule", r.none->rule},
                   {"needed_bytes", r.none->needed_bytes},
                   {"capacity_bytes", r.none->capacity_bytes},
                   {"smallest_change", r.none->smallest_change}};
    if (r.none->plan) out["none"]["strategy"] = to_json(*r.none->plan, q.batch);
  }
  return out;
}

}  // namespace meshplan::report
