// SPDX-License-Identifier: Apache-2.0
// Can this order of actions be executed at all, or do two stages wait for each other?
//
// Messages between stages are taken as unbounded and asynchronous (receives are posted ahead), so
// an order deadlocks exactly if its dependencies and the stages' own orders form a cycle.
#pragma once
#include <optional>

#include "strategies/schedule/schedule.hpp"

namespace meshplan {

/// Where the tensor comes from that an action needs: for a forward the forward of the previous
/// virtual stage, for a backward or input gradient the gradient of the next one. Empty: from the
/// data (first virtual stage), from the loss (last one), or a weight gradient.
std::optional<Place> sender_of(const ScheduleShape& shape, int stage, const Action& action);

/// Where the result of an action goes to; empty: it leaves the pipeline.
std::optional<Place> receiver_of(const ScheduleShape& shape, int stage, const Action& action);

/// Checks that every (chunk, micro-batch) runs forward once and backward once (whole, or as input
/// and weight gradient), and executes the orders. O(actions). ErrorKind::check; for a deadlock the
/// notes list the actions that wait for each other, one line per stage of the cycle.
Status check_schedule(const ScheduleShape& shape, const std::vector<StageSchedule>& schedule);

}  // namespace meshplan
