// SPDX-License-Identifier: Apache-2.0
// What does a rank move and hold while it follows its program? Predicted and counted in the same
// units.
#pragma once
#include "strategies/embedding/plan.hpp"

namespace meshplan::graph {

/// Of one pass.
struct Traffic {
  int64_t loads = 0, stores = 0, loaded_bytes = 0, stored_bytes = 0;
  int64_t sends = 0, sent_bytes = 0;
  int64_t synchronised_bytes = 0;
  void add(const Traffic& other);
  bool operator==(const Traffic&) const = default;
};

/// What the traffic of a pass of this rank must be.
Traffic expected_traffic(const GraphProgram& program, int rank);

/// Bytes of partitions that a rank holds at once when it follows the program.
int64_t expected_table_bytes(const Workload& workload, const GraphProgram& program, int rank);

}  // namespace meshplan::graph
