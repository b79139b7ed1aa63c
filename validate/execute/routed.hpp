// SPDX-License-Identifier: Apache-2.0
// Where did the router of a rank send (token, choice) pairs?
#pragma once
#include <algorithm>
#include <cstdint>

#include "strategies/program/program.hpp"

namespace meshplan {

struct Routed {
  int64_t pairs = 0;
  int64_t dropped = 0;  ///< of them, without room
  int64_t busiest = 0;  ///< most pairs of one layer and micro-batch that chose one expert
  int64_t rows = 0;     ///< room there for them
  void add(const Routed& more) {
    pairs += more.pairs;
    dropped += more.dropped;
    busiest = std::max(busiest, more.busiest);
    rows = std::max(rows, more.rows);
  }
};

/// Rows that a rank keeps for the tokens that it routes, of all experts; 0: none of the block's.
int64_t expert_rows(const Block& block);

}  // namespace meshplan
