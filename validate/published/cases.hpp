// SPDX-License-Identifier: Apache-2.0
// Which questions and answers does a table of published runs hold?
#pragma once
#include <string>
#include <vector>

#include "validate/published/case.hpp"
#include "validate/published/csv.hpp"

namespace meshplan {

/// Every row of the table as a case, in its order; a row that cannot be asked is refused with the
/// reason, and the others go on. Error (input) only when the file cannot be read, a column of the
/// question is missing, or our own data files are broken.
Result<std::vector<Case>> read_cases(const std::string& path);
Result<std::vector<Case>> cases_of(const CsvTable& table);

}  // namespace meshplan
