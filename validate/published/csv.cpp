// SPDX-License-Identifier: Apache-2.0
#include "validate/published/csv.hpp"

#include <fmt/format.h>

#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Reads record after record; `next` is false at the end of the text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") text_.remove_prefix(3);  // byte-order mark
  }

  bool next(CsvRecord& record) {
    // Empty lines between records are no records.
    while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) step();
    if (at_ >= text_.size()) return false;
    record = CsvRecord{line_, {}, {}};
    for (;;) {
      record.cells.push_back(cell());
      if (at_ >= text_.size() || text_[at_] == '\n') return true;
      step();  // the comma
    }
  }
  int unclosed_line() const { return unclosed_; }

 private:
  char step() {
    const char c = text_[at_++];
    if (c == '\n') ++line_;
    return c;
  }
  std::string cell() {
    std::string out;
    if (at_ < text_.size() && text_[at_] == '"') {
      const int opened = line_;
      step();
      for (;;) {
        if (at_ >= text_.size()) {
          unclosed_ = opened;
          return out;
        }
        const char c = step();
        if (c != '"') {
          out += c;
        } else if (at_ < text_.size() && text_[at_] == '"') {
          out += step();
        } else {
          break;
        }
      }
    }
    // Unquoted text, or what carelessly follows a closing quote.
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n') {
      const char c = step();
      if (c != '\r') out += c;
    }
    return out;
  }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  int unclosed_ = 0;
};

}  // namespace

Result<CsvTable> CsvTable::open(const std::string& path) {
  MESHPLAN_TRY(const std::string text, read_file(path));
  return parse(text, path);
}

Result<CsvTable> CsvTable::parse(std::string_view text, const std::string& name) {
  CsvTable table;
  table.name_ = name;
  Scanner scanner(text);
  CsvRecord record;
  if (!scanner.next(record))
    return Diagnostic{ErrorKind::input, "the table is empty: it has no header", name};
  for (const std::string& cell : record.cells) {
    std::string column(trimmed(cell));
    if (!table.index_.emplace(column, table.header_.size()).second)
      return Diagnostic{ErrorKind::input, "a column stands in the header twice",
                        fmt::format("{}:{}", name, record.line), column};
    table.header_.push_back(std::move(column));
  }
  while (scanner.next(record)) {
    if (record.cells.size() != table.header_.size())
      record.problem = fmt::format("the row has {} cells, the header {}", record.cells.size(),
                                   table.header_.size());
    table.records_.push_back(std::move(record));
  }
  if (scanner.unclosed_line() > 0)
    return Diagnostic{ErrorKind::input,
                      "a quoted cell is never closed",
                      fmt::format("{}:{}", name, scanner.unclosed_line()),
                      "",
                      "",
                      "a quote inside a quoted cell is written twice"};
  return table;
}

Status CsvTable::require(const std::vector<std::string>& columns) const {
  for (const std::string& column : columns) {
    if (index_.count(column) > 0) continue;
    const std::string near = nearest(column, header_);
    return Diagnostic{ErrorKind::input,
                      fmt::format("column '{}' is missing", column),
                      fmt::format("{}:1", name_),
                      "",
                      "",
                      near.empty()
                          ? "see validate/published/README.md for the columns"
                          : fmt::format("the header has '{}', should that be '{}'?", near, column)};
  }
  return Done{};
}

std::string_view CsvTable::cell(const CsvRecord& record, const std::string& column) const {
  const auto found = index_.find(column);
  if (found == index_.end() || found->second >= record.cells.size()) return {};
  return trimmed(record.cells[found->second]);
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace meshplan
