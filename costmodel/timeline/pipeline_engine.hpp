// SPDX-License-Identifier: Apache-2.0
// When does every action of a schedule end? Internal: the execution behind simulate_pipeline.
#pragma once
#include "costmodel/timeline/pipeline_time.hpp"

namespace meshplan::timeline {

struct Execution {
  PipelineResult result;
  /// End of the forward, and of the backward or input gradient,
  /// [(stage * chunks + chunk) * micro_batches + micro_batch].
  std::vector<double> forward_end, gradient_end;
};

Result<Execution> execute(const PipelineInput& input, const std::vector<StageSchedule>& schedule,
                          bool trace);

/// Fills idle_s and the split of the critical stage from total_s, busy_s and p2p_s.
void attribute(PipelineResult& result);

}  // namespace meshplan::timeline
