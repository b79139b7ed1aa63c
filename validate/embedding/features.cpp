// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/features.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "validate/embedding/dictionary.hpp"
#include "validate/embedding/mapped_file.hpp"

namespace meshplan::graph {

Result<Features> read_features(const std::string& path, const Names& entities) {
  MESHPLAN_TRY(const MappedFile file, MappedFile::open(path));
  Dictionary index(entities.size()), names;
  for (int64_t i = 0; i < entities.size(); ++i) index.add(entities[i], hash_of(entities[i]));
  std::vector<std::vector<int32_t>> of(static_cast<size_t>(entities.size()));
  const std::string_view text = file.text();
  int64_t line_number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t stop = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, stop - at);
    at = stop + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const size_t tab = line.find('\t');
    if (tab == line.npos)
      return Diagnostic{.kind = ErrorKind::input,
                        .message = "a line has no tab between the entity and its features",
                        .where = fmt::format("{}:{}", path, line_number),
                        .value = std::string(line.substr(0, 60))};
    const std::string_view name = line.substr(0, tab);
    const int32_t entity = index.find(name, hash_of(name));
    if (entity < 0) continue;  // no edge has it
    for (size_t from = tab + 1; from < line.size();) {
      const size_t space = std::min(line.find(' ', from), line.size());
      const std::string_view feature = line.substr(from, space - from);
      from = space + 1;
      if (!feature.empty())
        of[static_cast<size_t>(entity)].push_back(names.add(feature, hash_of(feature)));
    }
  }
  Features out;
  out.begin.push_back(0);
  for (size_t i = 0; i < of.size(); ++i) {
    if (of[i].empty())
      return Diagnostic{.kind = ErrorKind::input,
                        .message = "an entity has no features",
                        .where = path,
                        .value = std::string(entities[static_cast<int64_t>(i)])};
    out.rows.insert(out.rows.end(), of[i].begin(), of[i].end());
    out.begin.push_back(static_cast<int64_t>(out.rows.size()));
  }
  out.count = names.size();
  return out;
}

}  // namespace meshplan::graph
