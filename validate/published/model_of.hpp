// SPDX-License-Identifier: Apache-2.0
// Which model did a published run train? The bundled one of that name if the columns agree with it,
// else the sizes of the columns with the switches of the model's kind.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "validate/published/case.hpp"
#include "validate/published/mapping.hpp"
#include "validate/published/question_row.hpp"

namespace meshplan {

class ModelMapper {
 public:
  explicit ModelMapper(const Mapping& mapping) : mapping_(mapping) {}

  /// `sequence`: tables of learned positions are made long enough. `chosen` receives a line for
  /// each size that the row leaves open. Error with rule "states-too-little" when neither the name
  /// nor the columns tell the sizes.
  Result<Model> of(QuestionRow& row, int64_t sequence, std::vector<std::string>& chosen);

 private:
  struct Columns;
  Status load();
  const Model* by_name(const std::string& plain) const;
  const Model* agreeing(const std::string& plain, const Columns& columns) const;
  Result<Model> from_columns(const std::string& name, const Columns& columns,
                             std::vector<std::string>& chosen) const;

  const Mapping& mapping_;
  std::vector<Model> bundled_;
};

}  // namespace meshplan
