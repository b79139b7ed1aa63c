// SPDX-License-Identifier: Apache-2.0
// How much memory does this process hold, and how much did it hold at most? As the system counts
// resident pages.
#pragma once
#include <cstdint>

namespace meshplan::graph {

/// Bytes now; 0 where the system does not say (only Linux does).
int64_t resident_bytes();
/// The most since the start, or since the last restart.
int64_t peak_resident_bytes();
/// What was freed goes back to the system, and the peak starts anew from what is held now. False
/// where the system cannot: the peak is then that since the start.
bool restart_peak();

}  // namespace meshplan::graph
