// SPDX-License-Identifier: Apache-2.0
// How long does a collective or a point-to-point message take over these links?
//
// Inside a node (or NVLink domain): measured NCCL times by operation, ranks and size. Across nodes:
// NCCL's own candidates (ring, tree, NVLS tree, PAT; LL and Simple) with constants fitted on
// published multi-node measurements, costmodel/data/collectives.yaml; the fastest is taken, as NCCL
// does. `bytes` as nccl-tests counts them, see struct Collective.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "costmodel/profile/estimate.hpp"
#include "strategies/program/op.hpp"
#include "topologies/base/result.hpp"
#include "topologies/gpu/gpu.hpp"
#include "topologies/placement/placement.hpp"

namespace meshplan {

enum class Algorithm : uint8_t { none, table, ring, tree, nvls_tree, pat, pairwise, direct };
enum class Protocol : uint8_t { any, ll, simple };
const char* name_of(Algorithm algorithm);

struct CollectiveEstimate {
  double seconds = 0;
  double latency_s = 0;  ///< the part that does not depend on the size
  double relative_error = 0;
  Provenance provenance = Provenance::assumed;
  Algorithm algorithm = Algorithm::none;
  Protocol protocol = Protocol::any;
};

/// What a collective takes from the kernels beside it, over what one inside the node takes: (0, 1].
/// NCCL gives a ring as many channels as carry its rate, each a thread block on an SM. Its topology
/// search (2.28.9) finds 12 channels of 30 GB/s inside a DGX H100, 8 of 40-45 GB/s for the 8 NICs,
/// so 1 for one NIC, which is what sends to one neighbour across nodes use. Exchanges with every
/// peer keep theirs.
double occupancy(CollectiveOp op, const GroupLinks& links);

class CollectiveModel {
 public:
  /// Tables of gpu.collective_table. Error (input): no such table, or a bad data file.
  static Result<CollectiveModel> load(const Gpu& gpu);

  /// All ranks of the group take part, all sibling groups at once (their share of the fabric is in
  /// `links`). One rank: zero. Never decreases as bytes grow.
  CollectiveEstimate time(CollectiveOp op, double bytes, const GroupLinks& links) const;

  /// Exchange of experts in which a token goes once to each node that holds one of its experts and
  /// from there once to each rank (DeepEP, HybridEP; DeepSeek-V3 report, section 3.2.2). bytes: of
  /// all `copies` of every token; reach: share of the ranks that one token's copies may go to;
  /// map_bytes: of the map of tokens to experts that is gathered before (0: known from the way
  /// there). Without the copies of tokens into and out of the library's buffers: those are what
  /// sorts the tokens by expert.
  CollectiveEstimate sent_once(double bytes, int64_t copies, double reach, double map_bytes,
                               const GroupLinks& links) const;

  /// Every rank of the group sends `bytes` to its neighbour at once (pipeline, ring attention).
  CollectiveEstimate p2p(double bytes, const GroupLinks& links) const;

  /// Slowest of `ranks` devices over the mean of them when they wait for each other; 1 for one.
  double straggler_factor(int64_t ranks) const;

  /// |predicted / measured - 1| of each table point from its neighbours in size, sorted.
  std::vector<double> leave_one_out() const;

 private:
  struct Data;
  explicit CollectiveModel(std::shared_ptr<const Data> data);
  std::shared_ptr<const Data> data_;
};

}  // namespace meshplan
