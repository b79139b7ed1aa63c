// SPDX-License-Identifier: Apache-2.0
// How does one step run over time? Chrome trace events: one process per pipeline stage (one rank
// of it), complete events that never overlap on a track.
#pragma once
#include "costmodel/step/estimate.hpp"
#include "planner/report/sheet.hpp"

namespace meshplan::report {

/// `detail` of an estimate with its trace. Times in microseconds, events sorted by track and start.
/// What is not per micro-batch (optimizer, stragglers, ...) follows the schedule on every stage.
Json chrome_trace(const StepEstimate& estimate, const StepDetail& detail);

}  // namespace meshplan::report
