// SPDX-License-Identifier: Apache-2.0
// Where are the rows that nobody holds, and which of them belong together? Files of partitions in a
// folder, by version: version N is the state after N passes.
//
// A file is written beside its place, forced to the disk and renamed: it is whole or not there.
// CURRENT names the newest version that is complete; files of other versions are remains of a pass
// that did not end.
#pragma once
#include <string>
#include <vector>

#include "validate/embedding/table.hpp"

namespace meshplan::graph {

using Tables = std::vector<Table>;  ///< one per partitioned type (of the unpartitioned ones, last)

class PartitionStore {
 public:
  /// `counts` of the workload are filled in. Creates the folder. Error (input): it can't.
  static Result<PartitionStore> open(const Workload& workload, const std::string& folder,
                                     int partitions, uint64_t seed, int threads);

  /// Newest complete version; 0: nothing was trained. Error (input): a folder of another workload,
  /// number of partitions or seed.
  Result<int64_t> current() const;

  /// Rows of a partition as of `version`; of version 0 they are drawn where no file of it was
  /// saved. partition -1: unpartitioned
  /// types. Error (input): missing, truncated, altered.
  Result<Tables> load(int partition, int64_t version) const;
  Status save(int partition, const Tables& tables, int64_t version) const;
  Result<SharedParameters> load_parameters(int64_t version) const;
  Status save_parameters(const SharedParameters& parameters, int64_t version) const;

  /// Memory for a partition, not filled.
  Tables empty(int partition) const;

  /// Makes `version` the current one and removes all others.
  Status commit(int64_t version) const;
  /// Removes files of other versions than `version`: what a pass that did not end has left.
  void clean(int64_t version) const;

  const std::string& folder() const { return folder_; }
  int partitions() const { return partitions_; }

 private:
  PartitionStore() = default;
  std::string file_of(size_t type, int partition, int64_t version) const;
  std::vector<size_t> types_of(int partition) const;
  std::string identity() const;

  Workload w_;
  std::string folder_;
  int partitions_ = 1;
  uint64_t seed_ = 1;
  int threads_ = 1;
};

}  // namespace meshplan::graph
