// SPDX-License-Identifier: Apache-2.0
// Which model did a published run train? The cells of its row as ModelColumns.
#pragma once
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "validate/published/mapping.hpp"
#include "validate/published/question_row.hpp"

namespace meshplan {

/// `chosen` receives a line for all that the row leaves open. Errors of model_from_columns; the
/// rule is "states-too-little" where the row holds neither layers and hidden size nor a size in the
/// name.
Result<Model> model_of(QuestionRow& row, const Mapping& mapping, const TrainerDefaults& defaults,
                       std::vector<std::string>& chosen);

}  // namespace meshplan
