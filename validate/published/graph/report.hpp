// SPDX-License-Identifier: Apache-2.0
// How well are published runs of graph embeddings predicted? Reads a table, predicts each row that
// states enough, names the others, and sums up by source.
#pragma once
#include "costmodel/graph/machine.hpp"
#include "validate/published/graph/row.hpp"
#include "validate/published/score.hpp"

namespace meshplan::graph {

struct GraphPrediction {
  double edges_per_s = 0;
  double step_s = 0;           ///< of a worker's batch
  double storage_s = 0;        ///< of an epoch, whether hidden or not
  double parameter_bytes = 0;  ///< rows with what the optimizer remembers
  bool rows_on_host = false;
};

/// What of a prediction no fitted constant changes.
struct BatchWork {
  OpTime all, scores;  ///< of a batch on the GPU; scores: without operators
  double row_bytes = 0, storage_s = 0;
  int64_t device_bytes = 0;
};
Result<BatchWork> work_of(const GraphQuestionRow& question);
GraphPrediction predict(const GraphQuestionRow& question, const BatchWork& work);

/// Of a row's question. Errors: of the machine's tables; (no_plan) of the order of its buckets.
Result<GraphPrediction> predict(const GraphQuestionRow& question);

struct PublishedGraph {
  GraphRow row;
  std::optional<GraphPrediction> prediction;
  std::string refusal;
  /// Of the time of an epoch; only with a prediction.
  double error() const { return *row.measured_edges_per_s / prediction->edges_per_s - 1; }
};
struct PublishedGraphs {
  std::string table;
  std::vector<PublishedGraph> rows;
};

/// Error (input): the table or our own data files cannot be read. A bad row is a refusal.
Result<PublishedGraphs> validate_graphs(const CsvTable& table);

/// Errors by source, and of all: the label, then figures as of other published runs. Refused rows
/// have no part.
std::vector<std::pair<std::string, ErrorSummary>> errors_of(const PublishedGraphs& report);

std::string graphs_text(const PublishedGraphs& report);
std::string graphs_json(const PublishedGraphs& report);
std::string graphs_csv(const PublishedGraphs& report);

}  // namespace meshplan::graph
