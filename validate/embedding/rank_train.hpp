// SPDX-License-Identifier: Apache-2.0
// What does one rank do in a pass? It follows its rounds of the step program: partitions arrive,
// buckets are trained, partitions leave.
#pragma once
#include <future>
#include <map>

#include "profiler/comm/world.hpp"
#include "strategies/embedding/ledger.hpp"
#include "validate/embedding/bucket_train.hpp"
#include "validate/embedding/partition_store.hpp"

namespace meshplan::graph {

struct PassReport {
  int64_t edges = 0;
  double loss = 0;                              ///< summed
  double seconds = 0, train_s = 0, wait_s = 0;  ///< wait: for partitions and other ranks
  Traffic traffic;
  int64_t peak_table_bytes = 0;  ///< partitions in memory at once, on their way in or out too
};

struct RankSetup {
  const Workload* workload = nullptr;
  const Graph* graph = nullptr;
  const Buckets* buckets = nullptr;
  const PartitionStore* store = nullptr;
  const GraphProgram* program = nullptr;
  ThreadMode threads;
  uint64_t seed = 1;
  GraphDevice* device = nullptr;  ///< trains in place of the threads
};

class RankTrainer {
 public:
  RankTrainer(const RankSetup& setup, SharedParameters& parameters, World& world);

  /// Pass number `version` (from 0), from the files of `version` to those of version + 1 where
  /// partitions leave to storage. rows_are_read: those that stay are wanted here after it, not
  /// only where they are trained.
  Result<PassReport> pass(int64_t version, bool rows_are_read);

  /// Rows that stay in memory, read before the first pass and written on demand: all partitions
  /// with Home::memory and one rank, else the unpartitioned types.
  Status load_resident(int64_t version);
  Status save_resident(int64_t version) const;

  const Tables& tables(int partition) const { return held_.at(partition); }

 private:
  Status arrive(const GraphStep& step, int64_t version, Traffic& traffic);
  Status leave(const GraphStep& step, int64_t version, Traffic& traffic);
  void prefetch(const GraphRound& next, int64_t version);
  int64_t version_of(int partition, int64_t version) const;
  Status finish_writes();
  Status synchronise(Traffic& traffic);
  std::vector<LoadedRows> loaded_rows();

  RankSetup s_;
  SharedParameters& parameters_;
  std::vector<float> synchronised_;  ///< values and sums as they were after the last exchange
  World& world_;
  std::unique_ptr<Communicator> all_;
  BucketTrainer trainer_;
  std::map<int, Tables> held_;  ///< -1: unpartitioned types
  std::map<int, std::future<Result<Tables>>> coming_;
  std::map<int, std::future<Status>> going_;
  std::map<int, int64_t> written_;  ///< version that this rank wrote last, by partition
  std::atomic<int64_t> table_bytes_{0};
  int64_t peak_bytes_ = 0;
};

}  // namespace meshplan::graph
