// SPDX-License-Identifier: Apache-2.0
// Which flags fix or range the axes of a plan? One set for `plan` (ranges), `simulate` and
// `explain` (single values).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "planner/cli/parse.hpp"
#include "planner/report/question.hpp"
#include "planner/search/search.hpp"

namespace meshplan::cli {

struct PlanFlags {
  std::string tp, pp, vpp, cp, ep, etp, dp, hsdp, zero, micro_batch;
  std::string recompute, recompute_layers, schedule, schedule_group, cp_kind, layer_split;
  std::string sequence_parallel, reshard, offload_optimizer;
  std::vector<std::string> forbid;
  std::string keep_free;  ///< percent; only with ranges
};
/// ranges: also "1..16", "1,2,4", and --forbid.
void add_plan_flags(CLI::App& app, PlanFlags& flags, bool ranges);

/// "8", "1..16", "4..", "..8", "1,2,4". Error (usage) with the flag.
Result<AxisRange> range_from(const std::string& text, const std::string& flag, int64_t least);

/// The question with every constraint of the flags; top_k, bounds and threads as they are.
Result<SearchQuestion> search_question(const report::Question& question, const PlanFlags& flags);

}  // namespace meshplan::cli
