// SPDX-License-Identifier: Apache-2.0
// Where does a run keep its partitions, and who else uses that folder? Ranks that are processes use
// rank 0's: on one computer any, on several one of a file system that all see.
#pragma once
#include <string>

#include "profiler/comm/world.hpp"

namespace meshplan::graph {

/// Makes it and those above it. Error (input): it cannot be made.
Status make_folder(const std::string& folder);

/// A folder for one run at a time. Without a name it is a temporary one that lasts as long as the
/// object; the system gives a named one back when the process ends, however.
class RunFolder {
 public:
  RunFolder() = default;
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&& other) noexcept;
  ~RunFolder();

  /// Errors (input): it cannot be made or written, another run has it.
  static Result<RunFolder> take(const std::string& folder);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool temporary_ = false;
  int lock_ = -1;
};

/// Rank 0 takes `folder` into `own`; all get its path. All ranks call it. Error (input): a rank
/// does not see what rank 0 writes there.
Result<std::string> common_folder(World& world, const std::string& folder, RunFolder& own);

}  // namespace meshplan::graph
