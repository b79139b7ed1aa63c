// SPDX-License-Identifier: Apache-2.0
// How do floats get to the disk and back, whole or not at all? A header with shape and checksum,
// then the values as they are in memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::graph {

struct FloatSpan {
  float* data = nullptr;
  int64_t count = 0;
};

/// Written beside `path`, forced to the disk, renamed. Error (input) with the system's reason.
Status write_floats(const std::string& path, int64_t rows, int64_t cols,
                    const std::vector<FloatSpan>& parts);
/// Error (input): missing, of another shape, truncated, altered.
Status read_floats(const std::string& path, int64_t rows, int64_t cols,
                   const std::vector<FloatSpan>& parts);

/// Text written beside `path`, forced to the disk with its folder, renamed.
Status write_durably(const std::string& path, const std::string& text);

}  // namespace meshplan::graph
