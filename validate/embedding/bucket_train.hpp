// SPDX-License-Identifier: Apache-2.0
// How is one bucket trained by the threads of a rank?
#pragma once
#include <functional>

#include "validate/embedding/batch.hpp"

namespace meshplan::graph {

struct BucketPlace {
  int64_t begin = 0, end = 0;    ///< edges of the bucket
  int64_t pass = 0, passes = 1;  ///< which share of the edges, of how many
  uint64_t key = 0;              ///< of order and negatives
};

/// Partition of an entity type that the bucket needs on a side.
using PartOf = std::function<SidePart(int type, bool right)>;

struct ThreadMode {
  int threads = 1;
  bool deterministic = false;  ///< threads share batches instead of racing on rows (Hogwild)
};

/// Threads with their scratch; kept from bucket to bucket.
class BucketTrainer {
 public:
  BucketTrainer(const Workload& workload, SharedParameters& parameters, const ThreadMode& mode);
  ~BucketTrainer();
  BucketTrainer(const BucketTrainer&) = delete;
  BucketTrainer& operator=(const BucketTrainer&) = delete;

  struct Outcome {
    int64_t edges = 0;
    double loss = 0;  ///< summed over the edges
  };
  Outcome train(const Edges& edges, const BucketPlace& place, const PartOf& part_of);

 private:
  struct Worker;
  const Workload& w_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace meshplan::graph
