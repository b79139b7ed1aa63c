// SPDX-License-Identifier: Apache-2.0
// What does one row of a table of published graph runs ask, and what was measured?
#pragma once
#include <optional>

#include "validate/published/csv.hpp"
#include "validate/published/graph/systems.hpp"

namespace meshplan::graph {

/// Is this such a table, by its header?
bool is_graph_table(const CsvTable& table);

struct GraphQuestionRow {
  Workload workload;
  System system;
  std::string cluster;  ///< as find_cluster takes it
  int64_t workers = 1;
  int64_t partitions = 1, resident = 1;
  bool pbg_order = false;     ///< inside-out, nothing hidden
  bool rows_on_host = false;  ///< said in the notes
  double storage_bytes_per_s = 0;
};

struct GraphRow {
  int line = 0;
  std::string id, source, system, dataset;
  std::optional<double> measured_edges_per_s, measured_bytes;  ///< bytes: of the parameters
  std::optional<GraphQuestionRow> question;
  std::string refusal;  ///< why there is no question
};

/// "338M", "14.8K", "1.46B", "14951"; nothing of anything else.
std::optional<double> count_from(std::string_view text);

/// A row that cannot be asked says why; it is no error.
GraphRow read_graph_row(const CsvTable& table, const CsvRecord& record, const Systems& systems);

}  // namespace meshplan::graph
