// SPDX-License-Identifier: Apache-2.0
// How fast is the storage behind a folder? One thread, whole files: the way partitions, checkpoints
// and weights go.
#pragma once
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

/// Bytes of the files that are timed: 1, 16, 256, 1024 MiB, up to `most`; at least the smallest.
std::vector<double> storage_sizes(double most);

class StorageBench {
 public:
  /// `name` is this process's and rank's own; the destructor removes the file.
  StorageBench(const std::string& folder, const std::string& name);
  ~StorageBench();
  StorageBench(const StorageBench&) = delete;
  StorageBench& operator=(const StorageBench&) = delete;

  /// The file anew, until the device has it (fdatasync). Error (input) with the system's reason.
  Status write(int64_t bytes);
  /// What a write of at least as many bytes has left, after the system was asked to forget it; a
  /// file system that keeps it in memory all the same answers from there.
  Status read(int64_t bytes);

 private:
  std::string path_;
  std::vector<char> data_;
};

}  // namespace meshplan
