// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/ledger.hpp"

#include <algorithm>

namespace meshplan::graph {

void Traffic::add(const Traffic& other) {
  loads += other.loads;
  stores += other.stores;
  loaded_bytes += other.loaded_bytes;
  stored_bytes += other.stored_bytes;
  sends += other.sends;
  sent_bytes += other.sent_bytes;
  synchronised_bytes += other.synchronised_bytes;
}

Traffic expected_traffic(const GraphProgram& program, int rank) {
  Traffic out;
  for (const GraphRound& round : program.ranks[static_cast<size_t>(rank)]) {
    for (const GraphStep& step : round.arrive) {
      if (step.peer >= 0) continue;  // counted by the sender
      ++out.loads;
      out.loaded_bytes += std::get<PartitionMove>(step.op.body).bytes;
    }
    for (const GraphStep& step : round.leave) {
      const int64_t bytes = std::get<PartitionMove>(step.op.body).bytes;
      ++(step.peer >= 0 ? out.sends : out.stores);
      (step.peer >= 0 ? out.sent_bytes : out.stored_bytes) += bytes;
    }
    out.synchronised_bytes += std::get<Collective>(program.synchronise.body).bytes;
  }
  return out;
}

int64_t expected_table_bytes(const Workload& w, const GraphProgram& program, int rank) {
  const GraphPlan& plan = program.plan;
  const std::vector<GraphRound>& rounds = program.ranks[static_cast<size_t>(rank)];
  const auto moved = [](const std::vector<GraphStep>& steps, bool storage) {
    int64_t bytes = 0;
    for (const GraphStep& step : steps)
      if ((step.peer < 0) == storage) bytes += std::get<PartitionMove>(step.op.body).bytes;
    return bytes;
  };
  int64_t peak = 0;
  for (size_t k = 0; k < rounds.size(); ++k) {
    int64_t held = 0;
    for (const int p : rounds[k].held) held += bytes_of_partition(w, p, plan.partitions);
    int64_t beside = 0;
    if (plan.prefetch && k > 0) beside += moved(rounds[k - 1].leave, true);
    if (plan.prefetch && k + 1 < rounds.size()) beside += moved(rounds[k + 1].arrive, true);
    peak = std::max(peak, held + beside);
  }
  return peak + bytes_unpartitioned(w, plan.partitions);
}

}  // namespace meshplan::graph
