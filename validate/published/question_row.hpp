// SPDX-License-Identifier: Apache-2.0
// What may a prediction see of a row? The columns that describe the question, as text and numbers.
//
// step_s, measured_*, outcome, tier and notes are not among them: asking for one is a bug.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "validate/published/csv.hpp"

namespace meshplan {

class QuestionRow {
 public:
  QuestionRow(const CsvTable& table, const CsvRecord& record) : table_(table), record_(record) {}

  /// Columns that a question may read; the table must have all of them.
  static const std::vector<std::string>& columns();

  /// The cell; "" also where it says in a word that nothing is stated ("n/a", "unknown", "-", ...).
  std::string text(const std::string& column) const;
  bool states(const std::string& column) const { return !text(column).empty(); }
  /// Nothing if the cell is empty. A cell that is no (positive whole) number is a problem, noted
  /// once.
  std::optional<double> number(const std::string& column);
  std::optional<int64_t> count(const std::string& column);  ///< >= 1
  /// Of an axis of parallelism: as count, where 0, "none" and "off" mean 1.
  std::optional<int64_t> degree(const std::string& column);
  /// Notes a problem of the caller's own at this column.
  void problem(const std::string& column, const std::string& message, const std::string& hint = "");

  /// First problem noted, with file, line and column.
  Status finish() const;
  /// "FILE:LINE: column" for messages.
  std::string where(const std::string& column = "") const;

 private:
  const CsvTable& table_;
  const CsvRecord& record_;
  std::optional<Diagnostic> first_;
};

/// A cell as a finite number; nothing if it is not one. "1e3", "12", "0.5".
std::optional<double> number_of(std::string_view text);

/// Is the word one of these spellings?
bool one_of(const std::string& word, std::initializer_list<const char*> words);

}  // namespace meshplan
