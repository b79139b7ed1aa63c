// SPDX-License-Identifier: Apache-2.0
#include "planner/report/table.hpp"

#include <algorithm>
#include <sstream>

#include "planner/report/format.hpp"

namespace meshplan::report {
namespace {

std::string trimmed(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

}  // namespace

std::string Table::text(int indent, int width) const {
  std::vector<size_t> widths;
  bool headers = false;
  for (const Column& column : columns_) {
    widths.push_back(column.header.size());
    headers = headers || !column.header.empty();
  }
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());

  std::string out;
  const auto line = [&](const auto& cell_of, size_t cells) {
    std::string text(static_cast<size_t>(indent), ' ');
    for (size_t i = 0; i < cells; ++i) {
      const std::string& cell = cell_of(i);
      const std::string pad(widths[i] - std::min(widths[i], cell.size()), ' ');
      const bool last = i + 1 == columns_.size();
      if (i > 0) text += "  ";
      if (columns_[i].align == Align::right)
        text += pad + cell;
      else
        text += last ? wrapped(cell, static_cast<int>(text.size()), width) : cell + pad;
    }
    out += trimmed(text) + '\n';
  };
  if (headers)
    line([&](size_t i) -> const std::string& { return columns_[i].header; }, columns_.size());
  for (const auto& row : rows_)
    line([&](size_t i) -> const std::string& { return row[i]; }, row.size());
  return out;
}

std::string beside(const std::string& left, const std::string& right, int at) {
  const auto a = lines_of(left), b = lines_of(right);
  size_t column = static_cast<size_t>(at);
  for (const auto& line : a) column = std::max(column, line.size() + 2);
  std::string out;
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    std::string line = i < a.size() ? a[i] : "";
    if (i < b.size()) {
      line.resize(column, ' ');
      line += b[i];
    }
    out += trimmed(line) + '\n';
  }
  return out;
}

}  // namespace meshplan::report
