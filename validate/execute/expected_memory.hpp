// SPDX-License-Identifier: Apache-2.0
// How many bytes should a rank's buffers take at most? The schedule walked with the blocks' live
// ranges, nothing run; the executor's own count must be equal.
#pragma once
#include "strategies/program/program.hpp"
#include "validate/execute/rank_place.hpp"

namespace meshplan {

struct ExpectedMemory {
  int64_t states = 0;  ///< resident parameters, gradients, optimizer states
  int64_t peak = 0;    ///< with activations, gathered weights and whole gradients
};
/// Error: of the schedule's shape.
Result<ExpectedMemory> expected_memory(const Program& program, const RankPlace& place);

}  // namespace meshplan
