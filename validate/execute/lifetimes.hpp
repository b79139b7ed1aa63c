// SPDX-License-Identifier: Apache-2.0
// When does the executor allocate and free each activation of a block? The live ranges of
// strategies/program/live_range.hpp as lists per operation.
#pragma once
#include <vector>

#include "strategies/program/live_range.hpp"
#include "strategies/program/program.hpp"

namespace meshplan {

struct Lifetimes {
  explicit Lifetimes(const Block& block);

  /// Position of a phase's first operation: forward, backward and weight stand in one row.
  int begin(Phase phase) const;

  int forward_count = 0, backward_count = 0, weight_count = 0;
  std::vector<BufferId> given;                   ///< class input, allocated before the forward pass
  std::vector<std::vector<BufferId>> allocated;  ///< before the operation at a position
  std::vector<std::vector<BufferId>> freed;      ///< after it
};

}  // namespace meshplan
