// SPDX-License-Identifier: Apache-2.0
// What limits this plan, what would one other choice change, and why not that other plan?
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "costmodel/step/estimate.hpp"
#include "strategies/model/model.hpp"

namespace meshplan {

/// What stays the same while one thing changes.
struct Setting {
  const Model& model;
  const Batch& batch;
  const Trainer& trainer;
  const Cluster& cluster;
};

/// Change of step time when a resource grows by 10 %, as a share of the step: -0.041 is 4.1 % less.
struct Elasticity {
  std::string resource;
  double change = 0;
};
/// Arithmetic, memory bandwidth, links inside the node, network. Errors of the estimate.
Result<std::vector<Elasticity>> elasticities(const Setting& setting, const StepEstimate& base);

/// Another plan beside the one in question: an estimate, or why there is none.
struct Alternative {
  std::string change;  ///< "tp 8 -> 16, dp 32 -> 16"
  Plan plan;
  std::optional<StepEstimate> estimate;
  std::optional<Diagnostic> refusal;
};

/// One knob a step up or down; the number of GPUs stays, dp takes what tp, pp, cp release.
std::vector<Alternative> neighbours(const Setting& setting, const CostModel& costs,
                                    const Plan& plan);

/// The plan nearest to `plan` with `knob` at `value`, knob as in a flag: "tp", "micro-batch".
/// Error (usage): no such knob, with the nearest, or no such value.
Result<Alternative> why_not(const Setting& setting, const CostModel& costs, const Plan& plan,
                            const std::string& knob, const std::string& value);

/// Parts of `other` that grew over those of `base`, largest first: (name, by how much).
std::vector<Part> grown(const std::vector<Part>& base, const std::vector<Part>& other);

}  // namespace meshplan
