// SPDX-License-Identifier: Apache-2.0
// How are the buckets that a rank can train at a time trained by its threads? As one: batches take
// their edges from all of them, and candidates are all loaded rows. One bucket after the other
// would pull the rows this way and that, and rank an entity among those of its partition only.
#pragma once
#include <span>

#include "validate/embedding/batch.hpp"

namespace meshplan::graph {

/// Edges of a bucket.
struct EdgeRange {
  int64_t begin = 0, end = 0;
};

/// Which of the edges, in which order: those of pass `pass` of the `passes` of an epoch.
struct EdgeShare {
  int64_t pass = 0, passes = 1;
  uint64_t key = 0;  ///< of order and negatives, the same for all passes of an epoch
};

struct ThreadMode {
  int threads = 1;
  bool deterministic = false;  ///< threads share batches instead of racing on rows (Hogwild)
};

/// Threads with their scratch; kept from bucket to bucket.
class BucketTrainer {
 public:
  /// products: what the operands of the scores' products are rounded to.
  BucketTrainer(const Workload& workload, SharedParameters& parameters, const ThreadMode& mode,
                DType products);
  ~BucketTrainer();
  BucketTrainer(const BucketTrainer&) = delete;
  BucketTrainer& operator=(const BucketTrainer&) = delete;

  struct Outcome {
    int64_t edges = 0;
    double loss = 0;  ///< summed over the edges
  };
  /// rows: what is loaded, by entity type; all ends of the buckets are among them.
  Outcome train(const Edges& edges, std::span<const EdgeRange> buckets, const EdgeShare& share,
                const std::vector<LoadedRows>& rows);

 private:
  struct Worker;
  const Workload& w_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace meshplan::graph
