// SPDX-License-Identifier: Apache-2.0
// How are the buckets that a rank holds at a time trained by its threads? Their batches are mixed:
// one bucket after the other would pull the rows this way and that.
#pragma once
#include <functional>
#include <span>

#include "validate/embedding/batch.hpp"

namespace meshplan::graph {

struct BucketPlace {
  int64_t begin = 0, end = 0;    ///< edges of the bucket
  int64_t pass = 0, passes = 1;  ///< which share of the edges, of how many
  uint64_t key = 0;              ///< of order and negatives
};

/// Partition of an entity type that a bucket, by its place in the list, needs on a side.
using PartOf = std::function<SidePart(size_t bucket, int type, bool right)>;

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
  Outcome train(const Edges& edges, std::span<const BucketPlace> buckets, const PartOf& part_of);

 private:
  struct Worker;
  const Workload& w_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace meshplan::graph
