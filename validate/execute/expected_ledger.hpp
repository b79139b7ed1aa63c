// SPDX-License-Identifier: Apache-2.0
// What should a rank communicate in `steps` steps? Counted from the step program alone, without
// running it; the communicator's own count must be equal.
#pragma once
#include "profiler/comm/ledger.hpp"
#include "strategies/program/program.hpp"
#include "validate/execute/rank_place.hpp"

namespace meshplan {

/// calls and bytes; moved_bytes is left 0.
Ledger expected_ledger(const Program& program, const RankPlace& place, int64_t steps);

}  // namespace meshplan
