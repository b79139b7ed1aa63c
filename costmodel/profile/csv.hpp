// SPDX-License-Identifier: Apache-2.0
// How is a table of numbers read fast? Comma-separated, '#' comments, one header line, no quotes.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

class Csv {
 public:
  /// Error (input): unreadable, no header, or a line with another number of fields (with line).
  static Result<Csv> read(const std::string& path);
  static Result<Csv> parse(std::string text, const std::string& name);

  size_t rows() const { return columns() == 0 ? 0 : cells_.size() / columns(); }
  size_t columns() const { return header_.size(); }
  std::string header(size_t column) const { return std::string(text(header_[column])); }
  std::string_view text(size_t row, size_t column) const {
    return text(cells_[row * columns() + column]);
  }
  /// NaN for an empty field and for what is no number.
  double number(size_t row, size_t column) const;

 private:
  struct Span {
    size_t begin, end;
  };
  std::string_view text(Span span) const {
    return std::string_view(text_).substr(span.begin, span.end - span.begin);
  }
  std::string text_;
  std::vector<Span> header_, cells_;
};

}  // namespace meshplan
