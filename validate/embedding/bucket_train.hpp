// SPDX-License-Identifier: Apache-2.0
// How are the buckets that a rank can train at a time trained by its threads? As one: batches take
// their edges from all of them, and candidates are all loaded rows. One bucket after the other
// would pull the rows this way and that, and rank an entity among those of its partition only.
#pragma once
#include <span>

#include "profiler/kernels/graph_device.hpp"
#include "validate/embedding/batch.hpp"
#include "validate/embedding/batch_worker.hpp"

namespace meshplan::graph {

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
  /// products: what the operands of the scores' products are rounded to. device: trains in place
  /// of the threads, which can be none; see device_batch.hpp for what it trains.
  BucketTrainer(const Workload& workload, SharedParameters& parameters, const ThreadMode& mode,
                DType products, GraphDevice* device = nullptr);

  struct Outcome {
    int64_t edges = 0;
    double loss = 0;  ///< summed over the edges
  };
  /// rows: what is loaded, by entity type; all ends of the buckets are among them. Error: the
  /// device's.
  Result<Outcome> train(const Edges& edges, std::span<const EdgeRange> buckets,
                        const EdgeShare& share, const std::vector<LoadedRows>& rows);
  /// See BatchWorker.
  Status settle(const Tables& tables, bool leaves);

 private:
  const Workload& w_;
  std::vector<std::unique_ptr<BatchWorker>> workers_;
};

}  // namespace meshplan::graph
