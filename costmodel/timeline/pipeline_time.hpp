// SPDX-License-Identifier: Apache-2.0
// How long does a pipeline schedule take, and where does the time of its stages go?
//
// Three answers with the same input: simulate_pipeline (exact, action by action, for finalists),
// pipeline_recurrence (closed form, for the search), pipeline_lower_bound (never above the
// simulated time, for cutting the search).
#pragma once
#include <vector>

#include "strategies/schedule/schedule.hpp"

namespace meshplan {

/// Seconds of one micro-batch in one chunk.
struct ChunkTimes {
  double forward = 0;
  double backward = 0;         ///< whole backward
  double input_gradient = 0;   ///< split backward; only read where the schedule splits
  double weight_gradient = 0;  ///< their sum may differ from `backward`
};

struct PipelineInput {
  ScheduleShape shape;
  std::vector<ChunkTimes> times;  ///< [stage * chunks + chunk]
  double p2p_s = 0;               ///< one transfer of a boundary between stages, latency included
  bool p2p_overlapped = true;     ///< false: the sender stands still during the transfer
  /// Of those: the receiver stands still, too, from when it asks; else what one stage sends and
  /// what it receives from the same neighbour are under way together.
  bool p2p_in_line = false;
  /// Exposed once per step, indexed like `times`; empty: none. The first forward of a chunk takes
  /// longer by first_forward_s (parameter gather); after its last backward or weight gradient the
  /// stage is busy for last_backward_s (gradient reduction), but nobody waits for that.
  std::vector<double> first_forward_s, last_backward_s;

  /// Index into those arrays.
  size_t at(int stage, int chunk) const {
    return static_cast<size_t>(stage) * static_cast<size_t>(shape.chunks) +
           static_cast<size_t>(chunk);
  }
};

struct TimedAction {
  int stage;
  Action action;
  double start_s, end_s;
};

/// For every stage busy_s + p2p_s + idle_s = total_s.
struct PipelineResult {
  double total_s = 0;
  std::vector<double> busy_s;  ///< computing, with the exposed extras
  std::vector<double> p2p_s;   ///< blocked by sending, or waiting for a tensor that is on its way
  std::vector<double> idle_s;  ///< the bubble
  int critical_stage = 0;      ///< the busiest one: compute_s + exposed_p2p_s + bubble_s = total_s
  double compute_s = 0, exposed_p2p_s = 0, bubble_s = 0;
  std::vector<TimedAction> trace;  ///< in order of execution per stage; empty unless asked for
};

/// Executes the given orders exactly; O(actions). ErrorKind::check if they deadlock, ::internal if
/// the arrays of the input do not have the shape's size.
Result<PipelineResult> simulate_pipeline(const PipelineInput& input,
                                         const std::vector<StageSchedule>& schedule,
                                         bool trace = false);

/// The same for the shape's own schedule. Once the steady part repeats itself (max-plus linear
/// systems are periodic, Baccelli et al. 1992), the remaining micro-batches are not simulated but
/// added; the result equals the full simulation up to rounding. Errors of check_shape.
Result<PipelineResult> simulate_pipeline(const PipelineInput& input);

/// Seconds that no execution of this schedule can undercut: for every stage the way to it, its own
/// work, and the way back; for 1F1B also the round trips that the latency of p2p costs. O(stages *
/// chunks), no schedule is built.
double pipeline_lower_bound(const PipelineInput& input);

/// Seconds by closed form, at least the lower bound. Exact for gpipe. On even stages (p2p up to 0.3
/// forwards, at least as many micro-batches as stages) within 3 % of the simulation for 1F1B and
/// interleaved (in line 5 %), 0.1 % on average, and within 6 % for zb-h1; interleaved with an
/// uneven first and last chunk within 12 %, 1 % on average. zb-v and dualpipe get the lower bound.
/// The tests hold these numbers. pipeline_recurrence.cpp has the equations.
double pipeline_recurrence(const PipelineInput& input);

}  // namespace meshplan
