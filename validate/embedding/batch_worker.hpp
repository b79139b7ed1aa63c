// SPDX-License-Identifier: Apache-2.0
// Who trains the batches of a round? A thread with its team on the CPU, or a device with memory of
// its own: both are told which edges a batch takes, in which order, and with which key.
#pragma once
#include <algorithm>
#include <span>
#include <vector>

#include "profiler/kernels/graph_random.hpp"
#include "validate/embedding/loaded_rows.hpp"
#include "validate/embedding/partition_store.hpp"

namespace meshplan::graph {

/// Edges of a bucket.
struct EdgeRange {
  int64_t begin = 0, end = 0;
  bool operator==(const EdgeRange&) const = default;
};

/// Edges that batches are cut from: all, or those of one relation; pieces of the buckets.
struct EdgeGroup {
  struct Piece {
    int64_t begin, place;  ///< of its first edge: among all edges, in the group
  };
  std::vector<Piece> pieces;
  int64_t count = 0, first_batch = 0;  ///< edges; first of all batches that is this group's

  int64_t edge(int64_t place) const {
    const auto next = std::upper_bound(pieces.begin(), pieces.end(), place,
                                       [](int64_t at, const Piece& p) { return at < p.place; });
    const Piece& piece = *(next - 1);
    return piece.begin + place - piece.place;
  }
};

/// What a rank holds while it trains some buckets; lives as long as their training.
struct TrainingRound {
  const Edges& edges;
  std::span<const EdgeRange> buckets;
  std::span<const EdgeGroup> groups;
  const std::vector<LoadedRows>& rows;  ///< by entity type; all ends of the buckets are among them
};

/// Edges order(from), ..., order(to - 1) of a group.
struct BatchDraw {
  size_t group = 0;
  Permutation order{1, 0};
  int64_t from = 0, to = 0;
  uint64_t key = 0;  ///< of the uniform negatives
};

class BatchWorker {
 public:
  BatchWorker() = default;
  virtual ~BatchWorker() = default;
  BatchWorker(const BatchWorker&) = delete;
  BatchWorker& operator=(const BatchWorker&) = delete;

  virtual Status begin(const TrainingRound& round) = 0;
  virtual Status train(const BatchDraw& batch) = 0;
  /// The round is over, the operators are up to date. Loss of its batches, summed over the edges.
  virtual Result<double> end() = 0;
  /// Before others read these rows: their newest values are in the tables. leaves: the worker does
  /// not meet them again.
  virtual Status settle(const Tables& tables, bool leaves) = 0;
};

}  // namespace meshplan::graph
