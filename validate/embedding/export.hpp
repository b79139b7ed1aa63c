// SPDX-License-Identifier: Apache-2.0
// How do trained rows leave? As text, or as NumPy arrays with their names beside them.
#pragma once
#include "validate/embedding/graph.hpp"
#include "validate/embedding/table.hpp"

namespace meshplan::graph {

/// What a run has trained: whole tables by entity type.
struct Trained {
  const Workload& workload;
  const Graph& graph;
  const std::vector<const Table*>& tables;
  const SharedParameters& parameters;
};

/// entities.tsv: name, then the values of its row (of a feature its number; types follow each
/// other); relations.tsv: name, side, operator, then its parameters. Values read back exactly.
Status export_tsv(const Trained& trained, const std::string& folder);

/// By entity type embeddings_TYPE.npy [rows, D] fp32 and names_TYPE.txt, a name a line in the order
/// of the rows; operators_SIDE_NUMBER.npy [relations, parameters] and names_relations.txt.
Status export_npy(const Trained& trained, const std::string& folder);

}  // namespace meshplan::graph
