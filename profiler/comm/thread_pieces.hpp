// SPDX-License-Identifier: Apache-2.0
// The copies and sums of a collective between threads, piece by piece.
#pragma once
#include <span>

#include "profiler/comm/communicator.hpp"

namespace meshplan {

/// Carries out piece `piece` of the collective whose requests (by rank) all agree: what that rank
/// receives; of an all-reduce that part of the sum, written to all ranks. Pieces touch disjoint
/// memory. Returns by rank the bytes that came from other ranks.
std::vector<int64_t> carry_out(std::span<const Request> requests, int piece);

}  // namespace meshplan
