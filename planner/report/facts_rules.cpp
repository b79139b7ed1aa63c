// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "planner/report/facts.hpp"

namespace meshplan::report {
namespace {

struct ScheduleText {
  const char* order;
  const char* source;
};

ScheduleText text_of(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::gpipe:
      return {"all forwards, then all backwards; every micro-batch is alive at once",
              "Huang et al. 2019 (arXiv 1811.06965)"};
    case ScheduleKind::one_f_one_b:
      return {"one forward, one backward; at most stages - stage micro-batches alive",
              "Narayanan et al. 2021 (arXiv 2006.09503)"};
    case ScheduleKind::interleaved:
      return {
          "1F1B over several model chunks a stage (--vpp), N micro-batches a chunk in turn "
          "(--schedule-group; N = stages is depth-first, N = all is breadth-first)",
          "Narayanan et al. 2021 (arXiv 2104.04473); Llama 3 (arXiv 2407.21783) 3.3.2"};
    case ScheduleKind::zb_h1:
      return {"1F1B with the weight gradient deferred into the bubble, memory as 1F1B",
              "Qi et al. 2023 (arXiv 2401.10241)"};
    case ScheduleKind::zb_v:
      return {"two chunks a stage placed as a V, backward split in two",
              "Qi et al. 2024 (arXiv "
              "2405.15362)"};
    case ScheduleKind::dualpipe:
      return {"two copies of the model, micro-batches enter at both ends",
              "DeepSeek-V3 technical report (arXiv 2412.19437)"};
  }
  return {"", ""};
}

void list(Sheet& s, const char* label, const char* key, const std::vector<std::string>& words,
          const char* otherwise) {
  s.add(label, key, words, words.empty() ? otherwise : fmt::format("{}", fmt::join(words, ", ")));
}

bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

Sheet facts_of(ScheduleKind kind, const std::vector<Trainer>& trainers) {
  const ScheduleText text = text_of(kind);
  Sheet s{"schedule", name_of(kind), "", {}, {}, text.source, {}};
  s.word("order", "order", text.order);
  s.flag("splits the backward pass", "splits_backward", splits_backward(kind));
  std::vector<std::string> offering;
  for (const Trainer& trainer : trainers)
    if (has(trainer.schedules, s.id)) offering.push_back(trainer.id);
  list(s, "offered by", "trainers", offering, "no trainer");
  return s;
}

Sheet facts_of(RuleId rule, const std::vector<Trainer>& trainers) {
  Sheet s{"rule", name_of(rule), "", {}, {}, "", {}};
  s.word("says", "says", about(rule));
  const bool named = has(trainer_rule_names(), s.id);
  std::vector<std::string> imposing;
  for (const Trainer& trainer : trainers)
    if (has(trainer.rules, s.id)) imposing.push_back(trainer.id);
  s.flag("every trainer", "universal", !named);
  if (named) list(s, "imposed by", "trainers", imposing, "no bundled trainer");
  return s;
}

}  // namespace meshplan::report
