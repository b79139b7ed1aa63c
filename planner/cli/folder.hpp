// SPDX-License-Identifier: Apache-2.0
// How is a folder of files written whole or not at all?
#pragma once
#include <string>
#include <vector>

#include "strategies/launch/trainer_files.hpp"

namespace meshplan::cli {

/// A new folder appears complete. One that exists is left alone without `force`; with it, the files
/// named are replaced one by one, each whole, and others stay.
/// Errors: usage (the folder exists), input (it cannot be written).
Status write_folder(const std::string& folder, const std::vector<launch::LaunchFile>& files,
                    bool force);

}  // namespace meshplan::cli
