// SPDX-License-Identifier: Apache-2.0
// What does the cost model say to each published run, and which of the plans that a row leaves open
// is taken?
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "costmodel/step/step.hpp"
#include "validate/published/case.hpp"

namespace meshplan {

/// Prices one plan of a question. Must not keep state that changes its answers.
using Predictor = std::function<Result<StepEstimate>(const Question&, const Plan&)>;

struct Prediction {
  StepEstimate estimate;
  int priced = 0;            ///< candidate plans that were priced
  bool nothing_fit = false;  ///< no candidate fits; the one nearest to fitting is shown
};

/// Of the first level in which a plan fits, the fastest that fits. If none fits anywhere, the plan
/// with the smallest peak. A plan that the predictor refuses is passed over; error: all were (the
/// first refusal is returned).
Result<Prediction> predict(const Question& question, const Predictor& predictor);

}  // namespace meshplan
