// SPDX-License-Identifier: Apache-2.0
#include "planner/search/pareto.hpp"

namespace meshplan {

Result<std::vector<StepEstimate>> pareto_set(const SearchQuestion& question,
                                             const StepEstimate& best) {
  std::vector<StepEstimate> front{best};
  SearchQuestion smaller = question;
  smaller.top_k = 1;
  smaller.keep_free_percent = 0;  // less memory is asked for anyway
  SearchMemory memory;
  for (;;) {
    Gpu& gpu = smaller.cluster.gpu;
    gpu.memory_usable_bytes =
        static_cast<int64_t>(kParetoStep * static_cast<double>(front.back().peak_memory_bytes));
    MESHPLAN_TRY(SearchResult found, search(smaller, memory));
    if (found.plans.empty() || found.plans.front().step_s > kParetoSlowest * best.step_s)
      return front;
    StepEstimate next = std::move(found.plans.front());
    next.capacity_bytes = best.capacity_bytes;
    while (!front.empty() && front.back().step_s >= next.step_s) front.pop_back();
    front.push_back(std::move(next));
  }
}

}  // namespace meshplan
