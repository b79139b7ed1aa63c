// SPDX-License-Identifier: Apache-2.0
// How well does the model rank the right end of an edge among all entities?
//
// Both ends of every edge are asked for, against all entities of their type or a sample. Filtered:
// entities that make another known edge (of train, valid or test) are no candidates. Ties:
// optimistic counts better candidates only, pessimistic the equal ones too (PBG), realistic half of
// them.
#pragma once
#include "validate/embedding/graph.hpp"
#include "validate/embedding/table.hpp"

namespace meshplan::graph {

enum class Ties : uint8_t { realistic, pessimistic, optimistic };
const char* name_of(Ties ties);
Result<Ties> ties_from(const std::string& text, const std::string& where);

struct EvaluateOptions {
  Ties ties = Ties::realistic;
  int64_t candidates = 0;  ///< drawn uniformly, the same for all edges of a block; 0: all
  int64_t limit = 0;       ///< edges that are asked for; 0: all
  int threads = 1;
  uint64_t seed = 1;
};

struct Ranking {
  int64_t queries = 0;
  double mean_rank = 0, mrr = 0, hits1 = 0, hits3 = 0, hits10 = 0;
  double auc = 0;  ///< share of candidates that the right end beats, ties half
};
struct Evaluation {
  Ranking filtered, raw;
};

/// `tables`: whole ones, by entity type. `known`: edges that the filter knows beside `edges`.
Evaluation evaluate(const Workload& workload, const Graph& graph,
                    const std::vector<const Table*>& tables, const SharedParameters& parameters,
                    const Edges& edges, const std::vector<const Edges*>& known,
                    const EvaluateOptions& options);

}  // namespace meshplan::graph
