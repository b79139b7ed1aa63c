// SPDX-License-Identifier: Apache-2.0
// How long should one rank's operations take, and each of its communications?
#pragma once
#include "validate/emulate/emulate.hpp"
#include "validate/execute/lone_world.hpp"

namespace meshplan {

/// Seconds of all operations of a rank of this stage in one step but the communication, one after
/// the other: by the profile, else by the cluster's tables.
Result<double> predict_compute(const Program& program, int stage,
                               const std::optional<CpuProfile>& profile, const CostModel& costs,
                               const PlanLinks& links);

/// Seconds of one call on the links of its group. Messages count where they are received.
double predict_call(const LoneCall& call, const CostModel& costs, const PlanLinks& links);

}  // namespace meshplan
