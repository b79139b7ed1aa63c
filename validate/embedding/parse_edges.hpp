// SPDX-License-Identifier: Apache-2.0
// What do the lines of one range of a file say? The part of the import that one thread does.
#pragma once
#include <optional>

#include "validate/embedding/dictionary.hpp"
#include "validate/embedding/graph.hpp"

namespace meshplan::graph {

/// Names known before: a closed list is complete, other names are errors.
struct KnownNames {
  std::vector<Dictionary> entities;  ///< by type
  std::vector<bool> closed;          ///< by type
  Dictionary relations;              ///< complete unless relations are dynamic
};

/// Ids of a closed list are its own, those of an open one are local to the range.
struct RangeEdges {
  std::vector<Dictionary> entities;
  Dictionary relations;
  Edges edges;
  struct Problem {
    size_t at = 0;  ///< byte of the line in the file
    std::string message, value, hint;
  };
  std::optional<Problem> problem;  ///< the first one; the range is not read further
};

/// Lines of text that begin in [begin, end); begin is the start of a line.
RangeEdges parse_range(const Workload& workload, const KnownNames& known, std::string_view text,
                       size_t begin, size_t end);

}  // namespace meshplan::graph
