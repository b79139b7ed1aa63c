// SPDX-License-Identifier: Apache-2.0
// In which order are the buckets of a pass trained, and which partitions does each rank hold
// meanwhile?
//
// A schedule is a list of rounds; in a round every rank holds a set of partitions that no other
// rank holds and trains buckets of them. Every bucket is trained once in a pass.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::graph {

enum class Order : uint8_t {
  inside_out,  ///< PBG's: from the pairs of the highest partitions to those with partition 0
  affinity,    ///< next the bucket that shares most with what is held; ties at random
  beta,        ///< Marius (OSDI 2021), section 4: hold c-1, stream the others past them
  cover,       ///< lines of an affine plane: c^2 partitions, c ranks (GE2, SIGMOD 2024) or one
  halving      ///< recursive halving: two partitions a rank, one of them moves a round
};
const char* name_of(Order order);
Result<Order> order_from(const std::string& text, const std::string& where);

using BucketId = std::pair<int, int>;  ///< partition of the left ends, of the right ends

struct Hold {
  std::vector<int> partitions;  ///< sorted
  std::vector<BucketId> buckets;
};
struct Schedule {
  int partitions = 1, ranks = 1;
  std::vector<std::vector<Hold>> rounds;  ///< [round][rank]
};

struct ScheduleShape {
  Order order = Order::inside_out;
  int partitions = 1;
  int resident = 1;  ///< partitions that a rank holds at most
  int ranks = 1;
  bool lhs_partitioned = true, rhs_partitioned = true;  ///< is any type of that side partitioned?
  uint64_t seed = 1;
};
/// Errors (no_plan): an order that needs other numbers, with the nearest ones.
Result<Schedule> make_schedule(const ScheduleShape& shape);

/// Why no such schedule exists; Done if it does. Cheap, for searches.
Status check_shape(const ScheduleShape& shape);

/// Every bucket once, no partition on two ranks, holds within the bound; Error (internal) else.
Status check_schedule(const Schedule& schedule, const ScheduleShape& shape);

/// Partitions that come from storage in one pass, with an empty memory before it.
int64_t loads_of(const Schedule& schedule);

/// Swaps of BETA after the first c loads (Marius, OSDI 2021, section 4.2).
int64_t beta_swaps(int64_t partitions, int64_t resident);

}  // namespace meshplan::graph
