// SPDX-License-Identifier: Apache-2.0
// What the two transports of gpu_world.hpp share: a rank's streams and how an operation is ordered
// with them.
#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "profiler/comm/gpu_world.hpp"
#include "profiler/cuda/memory.hpp"

namespace meshplan::cuda {

/// A collective of ranks that share a GPU: all hosts meet once to put it on their streams.
class Meeting {
 public:
  virtual ~Meeting() = default;
  virtual Status meet() = 0;
};

/// Of one rank; owned by its world, outlives its groups.
struct RankStreams {
  int device = 0;
  Stream compute;
  /// Ends of settled operations, for the next one that is started; see Pending::settle.
  std::vector<cudaEvent_t> settled;
  /// Started and not waited for, of all groups. Hosts meet in this order, which is that of every
  /// rank, whatever they wait for first: else two could wait for each other in two groups.
  std::deque<Meeting*> meetings;

  /// `stream` begins after what is on the compute stream and what was settled.
  Status begin(cudaStream_t stream);
};

/// Error (missing): no such device.
Result<std::unique_ptr<RankStreams>> make_rank_streams(int device);

/// Communicators over device memory on top of `base`, whose ledger they do not use.
Result<std::unique_ptr<Communicator>> shared_group(std::unique_ptr<Communicator> base,
                                                   RankStreams& streams, Ledger* ledger);
Result<std::unique_ptr<Communicator>> nccl_group(std::unique_ptr<Communicator> base,
                                                 RankStreams& streams, Ledger* ledger);

}  // namespace meshplan::cuda
