// SPDX-License-Identifier: Apache-2.0
// How is a graph workload cut and moved, and which steps does every rank do in a pass? The plan,
// and its lowering to the step program that the cost model prices and the trainer follows.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "strategies/embedding/order.hpp"
#include "strategies/embedding/workload.hpp"
#include "strategies/program/op.hpp"

namespace meshplan::graph {

/// Where the rows of a partition are that no rank trains.
enum class Home : uint8_t { memory, host, storage };
const char* name_of(Home home);

struct GraphPlan {
  Order order = Order::inside_out;
  int partitions = 1;
  int resident = 1;  ///< partitions that a rank trains on at a time
  int ranks = 1;
  int threads = 1;  ///< of a rank, on CPUs
  Home home = Home::memory;
  bool prefetch = true;  ///< the next partitions come and the last ones go while buckets train
  DType compute = DType::fp32;  ///< operands of the products
};

/// "P 8, 4 resident, beta, 1 rank, storage"
std::string brief(const GraphPlan& plan);

/// Is any type partitioned, of left ends, of right ends; else 1 partition is all.
ScheduleShape shape_of(const Workload& workload, const GraphPlan& plan, uint64_t seed);

/// Errors (no_plan): the order's, more than one rank beside unpartitioned types.
Status check_plan(const Workload& workload, const GraphPlan& plan);

/// Rows and bytes of partition `part` over all partitioned types.
int64_t rows_of_partition(const Workload& workload, int part, int partitions);
int64_t bytes_of_partition(const Workload& workload, int part, int partitions);
/// Types with one partition stay in every rank's memory.
int64_t bytes_unpartitioned(const Workload& workload, int partitions);
/// Partitions of a type under a plan: the workload's own number where it states one.
std::vector<int64_t> partitions_by_type(const Workload& workload, int partitions);

/// Scratch of `trainers` that each have a batch in work, `spaces` chunks of them at the same time:
/// ids, places of equal rows and gradients of those of several chunks of a batch; gathered rows,
/// gradients, operated ends and scores of a chunk.
int64_t workspace_bytes(const Workload& workload, const GraphPlan& plan, int64_t trainers,
                        int64_t spaces);

/// Rows of a chunk on a device come in so many: products like that.
inline constexpr int64_t kDeviceSlots = 8;
constexpr int64_t device_slots(int64_t rows) {
  return (rows + kDeviceSlots - 1) / kDeviceSlots * kDeviceSlots;
}
/// Bytes that a device with memory of its own takes for a batch, all its chunks at once
/// (validate/embedding/device_batch.hpp), by end: 0 left, 1 right. narrow: in bf16.
struct DeviceScratch {
  int64_t ids = 0, relations = 0, weights = 0, gradient = 0, operator_gradient[2] = {};
  int64_t rows[2] = {}, operated[2] = {}, operated_gradient = 0, query_gradient[2] = {};
  int64_t scores = 0, losses = 0, sort = 0;  ///< sort: of gradients of equal rows
  int64_t narrow_rows[2] = {}, narrow_operated[2] = {}, narrow_scores = 0;
  int64_t chunks = 0;  ///< a place each
  int64_t total() const;
};
DeviceScratch device_scratch(const Workload& workload, DType compute);

struct GraphStep {
  Op op;
  int partition = -1;  ///< that moves
  int peer = -1;       ///< rank that it comes from or goes to
  BucketId bucket = {-1, -1};
};
/// A round of one rank: what arrives, then what is trained, then what leaves. With prefetch,
/// arrivals from storage of the next round and departures of the last run beside the training.
struct GraphRound {
  std::vector<GraphStep> arrive, train, leave;
  std::vector<int> held;
};
struct GraphProgram {
  GraphPlan plan;
  std::vector<std::vector<GraphRound>> ranks;  ///< [rank][round]
  Op synchronise;  ///< of shared parameters, after every round; bytes 0 with one rank
  int64_t rounds = 0;
};

/// Edges of a bucket in one pass; from the graph, or spread evenly.
using BucketEdges = std::function<int64_t(const BucketId&)>;
BucketEdges even_edges(const Workload& workload, const GraphPlan& plan);

/// One pass. Partitions come from storage where nobody holds them, at the end all go back to it;
/// with Home::memory they start and stay in place.
Result<GraphProgram> lower(const Workload& workload, const GraphPlan& plan,
                           const BucketEdges& edges, uint64_t seed);

/// The training of `edges` edges as an operation.
Op bucket_op(const Workload& workload, const GraphPlan& plan, int64_t edges);

}  // namespace meshplan::graph
