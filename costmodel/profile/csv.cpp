// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/csv.hpp"

#include <charconv>
#include <limits>
#include <utility>

#include "topologies/base/files.hpp"

namespace meshplan {

Result<Csv> Csv::read(const std::string& path) {
  MESHPLAN_TRY(std::string text, read_file(path));
  return parse(std::move(text), path);
}

Result<Csv> Csv::parse(std::string text, const std::string& name) {
  Csv out;
  out.text_ = std::move(text);
  const std::string& all = out.text_;
  size_t line = 0;
  for (size_t begin = 0; begin < all.size();) {
    size_t end = all.find('\n', begin);
    if (end == std::string::npos) end = all.size();
    ++line;
    if (end > begin && all[begin] != '#') {
      auto& row = out.header_.empty() ? out.header_ : out.cells_;
      const size_t before = row.size();
      for (size_t at = begin; at <= end;) {
        size_t comma = all.find(',', at);
        if (comma == std::string::npos || comma > end) comma = end;
        row.push_back({at, comma});
        at = comma + 1;
      }
      if (&row == &out.cells_ && row.size() - before != out.columns())
        return Diagnostic{ErrorKind::input, "a line has another number of fields than the header",
                          name + ":" + std::to_string(line), std::to_string(row.size() - before)};
    }
    begin = end + 1;
  }
  if (out.header_.empty()) return Diagnostic{ErrorKind::input, "table without header line", name};
  return out;
}

double Csv::number(size_t row, size_t column) const {
  const std::string_view field = text(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (field.empty() || error != std::errc() || end != field.data() + field.size())
    return std::numeric_limits<double>::quiet_NaN();
  return value;
}

}  // namespace meshplan
