// SPDX-License-Identifier: Apache-2.0
// How are rows lined up in columns? Plain blanks, no drawing, readable without colour.
#pragma once
#include <string>
#include <vector>

namespace meshplan::report {

enum class Align { left, right };

class Table {
 public:
  /// One column per header; empty headers are allowed. Without any header no header line is
  /// written.
  struct Column {
    std::string header;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }

  /// Lines that end in a newline, each behind `indent` blanks, columns two blanks apart. The last
  /// column, if aligned left, is wrapped to `width`.
  std::string text(int indent = 2, int width = 100) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Two blocks of lines beside each other, the right one from column `at` (or further right).
std::string beside(const std::string& left, const std::string& right, int at);

}  // namespace meshplan::report
