// SPDX-License-Identifier: Apache-2.0
// How does a graph come out of text files? Lines of a TSV or CSV file, parsed by several threads;
// the same graph whatever their number.
#pragma once
#include "validate/embedding/graph.hpp"

namespace meshplan::graph {

struct ImportOptions {
  int threads = 1;
  uint64_t seed = 1;  ///< of the shuffle of the entities
};

/// Reads train, valid and test files of the workload. Entities are numbered in the order of their
/// first edge (or of the names file), then shuffled. Errors (input), with file and line: missing
/// columns, a weight that is no number, an unknown relation, an entity that is not in the names
/// file.
Result<Graph> import_graph(const Workload& workload, const ImportOptions& options);

/// The workload with the counts of the graph filled in.
Workload with_counts(Workload workload, const Graph& graph);

/// The order in which a seed puts `count` things: place of each.
std::vector<int32_t> shuffled_places(int64_t count, uint64_t seed);

}  // namespace meshplan::graph
