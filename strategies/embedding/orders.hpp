// SPDX-License-Identifier: Apache-2.0
// The single bucket orders behind make_schedule.
#pragma once
#include "strategies/embedding/order.hpp"

namespace meshplan::graph {

/// Is there a finite field of c elements in cover_rounds?
bool has_field(int c);

/// Everything at once: buckets of all partitions in one hold.
Hold hold_all(const ScheduleShape& shape);

/// Orders of buckets, for hold_for.
std::vector<BucketId> inside_out(const ScheduleShape& shape);
std::vector<BucketId> affinity(const ScheduleShape& shape);

/// Holds for a sequence of buckets with `resident` places: what is needed last goes first (Belady).
std::vector<Hold> hold_for(const std::vector<BucketId>& buckets, int resident);
std::vector<std::vector<Hold>> one_rank(std::vector<Hold> holds);

std::vector<Hold> beta_holds(const ScheduleShape& shape);
std::vector<std::vector<Hold>> cover_rounds(const ScheduleShape& shape);
std::vector<std::vector<Hold>> halving_rounds(const ScheduleShape& shape);

}  // namespace meshplan::graph
