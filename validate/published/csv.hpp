// SPDX-License-Identifier: Apache-2.0
// How is a table in comma-separated values (RFC 4180) read by column name, and a cell written?
//
// Quoted cells may hold commas, doubled quotes and line breaks. A record with too few or too many
// cells does not stop the reader: it is kept and says so, since one bad row of thousands must not
// hide the others.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

struct CsvRecord {
  int line = 0;  ///< of the file, from 1; where the record begins
  std::vector<std::string> cells;
  std::string problem;  ///< empty if the record has as many cells as the header
};

class CsvTable {
 public:
  /// Error (input): missing file, no header, a header with a name twice, an unclosed quote (with
  /// the line on which it opens).
  static Result<CsvTable> open(const std::string& path);
  /// Same for text in memory; `name` stands in messages in place of the path.
  static Result<CsvTable> parse(std::string_view text, const std::string& name);

  /// Error (input) that names the first missing column and the nearest one that is there.
  Status require(const std::vector<std::string>& columns) const;

  const std::string& name() const { return name_; }
  const std::vector<std::string>& header() const { return header_; }
  const std::vector<CsvRecord>& records() const { return records_; }
  /// Cell of a record without surrounding blanks; "" when the column or the cell is missing.
  std::string_view cell(const CsvRecord& record, const std::string& column) const;

 private:
  std::string name_;
  std::vector<std::string> header_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<CsvRecord> records_;
};

/// A cell as it must be written: quoted if it holds a comma, a quote or a line break.
std::string csv_cell(std::string_view text);

}  // namespace meshplan
