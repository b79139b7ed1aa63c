// SPDX-License-Identifier: Apache-2.0
// What was asked, with every default filled in? Echoed at the head of each answer.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "planner/report/sheet.hpp"
#include "strategies/model/model.hpp"
#include "strategies/plan/plan.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan::report {

struct Question {
  Model model;
  Cluster cluster;
  Batch batch;
  Trainer trainer;
  DType compute = DType::bf16;
  FlopsConvention convention = FlopsConvention::causal;
  std::vector<std::string> defaults;  ///< "--seq 8192: ...", what was not stated
  std::optional<Plan> plan;           ///< from a plan file
};

/// Two or three lines, each ending in a newline.
std::string to_text(const Question& question);
/// The value of "inputs".
Json to_json(const Question& question);
/// The value of "provenance": version, where figures come from, which tables stand for the GPU.
Json provenance_of(const Question& question);

}  // namespace meshplan::report
