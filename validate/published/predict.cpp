// SPDX-License-Identifier: Apache-2.0
#include "validate/published/predict.hpp"

#include <optional>

namespace meshplan {

Result<Prediction> predict(const Question& question, const Predictor& predictor) {
  std::optional<StepEstimate> best, nearest;
  std::optional<Diagnostic> refusal;
  int priced = 0;
  for (const auto& level : question.levels) {
    for (const Plan& plan : level) {
      Result<StepEstimate> estimate = predictor(question, plan);
      if (!estimate.ok()) {
        if (!refusal) refusal = estimate.error();
        continue;
      }
      ++priced;
      if (estimate->fits) {
        if (!best || estimate->step_s < best->step_s) best = std::move(*estimate);
      } else if (!nearest || estimate->peak_memory_bytes < nearest->peak_memory_bytes) {
        nearest = std::move(*estimate);
      }
    }
    if (best) return Prediction{std::move(*best), priced, false};
  }
  if (nearest && !question.saving.empty()) {
    Question other = question;
    other.trainer = question.saving.front();
    other.saving.erase(other.saving.begin());
    auto saved = predict(other, predictor);
    if (saved.ok() && !saved->nothing_fit) return saved;
  }
  if (nearest) return Prediction{std::move(*nearest), priced, true};
  if (refusal) return *refusal;
  return Diagnostic{ErrorKind::internal, "a question without candidate plans"};
}

}  // namespace meshplan
