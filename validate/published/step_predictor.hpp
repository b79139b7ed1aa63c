// SPDX-License-Identifier: Apache-2.0
// The cost model as a Predictor: estimate_step, with what is read of a machine kept for all rows on
// it.
#pragma once
#include <memory>

#include "costmodel/step/cost_model.hpp"
#include "validate/published/predict.hpp"

namespace meshplan {

/// A published run happened, so only universal rules are asked (a degree divides what it cuts), not
/// those that today's release of the trainer imposes.
/// `tables`: what was read of GPUs before, for predictors with other constants; not thread-safe.
Predictor step_predictor(const Constants& constants,
                         std::shared_ptr<CalibrationCache> tables = nullptr);

}  // namespace meshplan
