// SPDX-License-Identifier: Apache-2.0
// The cost model as a Predictor: estimate_step, with what is read of a machine kept for all rows on
// it.
#pragma once
#include "costmodel/step/constants.hpp"
#include "validate/published/predict.hpp"

namespace meshplan {

/// A published run happened, so only universal rules are asked (a degree divides what it cuts), not
/// those that today's release of the trainer imposes.
Predictor step_predictor(const Constants& constants);

}  // namespace meshplan
