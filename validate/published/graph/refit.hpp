// SPDX-License-Identifier: Apache-2.0
// How good are the fitted constants of graph systems (systems.yaml) on runs that they were not
// fitted on? The fit of validate/published/refit.hpp, with every row the same weight.
#pragma once
#include "validate/published/csv.hpp"
#include "validate/published/refit.hpp"

namespace meshplan::graph {

struct GraphRefit {
  RefitReport by_graph;   ///< a graph of a source is left out
  RefitReport by_source;  ///< a whole source
};

/// Errors: of the table, of our own data files. Rows that are not predicted have no part.
Result<GraphRefit> refit_graphs(const CsvTable& table, const RefitOptions& options);

std::string refit_text(const GraphRefit& fit);

}  // namespace meshplan::graph
