// SPDX-License-Identifier: Apache-2.0
// Where are meshplan's own data files, and how is a file read or written whole?
#pragma once
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

/// Folder that holds topologies/data, strategies/data, ...: $MESHPLAN_DATA if set, else the
/// share/meshplan folder beside the binary's, else the source tree that the binary was built from.
std::string data_root();

/// Whole file as text. Error (input): missing or unreadable, with the path as typed.
Result<std::string> read_file(const std::string& path);

/// Writes beside `path` and renames, so that a reader never sees half a file.
Status write_file(const std::string& path, const std::string& text);

/// Sorted paths of the files in `folder` whose names end in `suffix`; empty if there is no folder.
std::vector<std::string> files_in(const std::string& folder, const std::string& suffix);

}  // namespace meshplan
