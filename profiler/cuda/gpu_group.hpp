// SPDX-License-Identifier: Apache-2.0
// What the two transports of gpu_world.hpp share: a rank's streams and how an operation is ordered
// with them.
#pragma once
#include <memory>

#include "profiler/comm/gpu_world.hpp"
#include "profiler/cuda/memory.hpp"

namespace meshplan::cuda {

/// Of one rank; owned by its world, outlives its groups.
struct RankStreams {
  int device = 0;
  Stream compute;
};

/// Error (missing): no such device.
Result<std::unique_ptr<RankStreams>> make_rank_streams(int device);

/// Communicators over device memory on top of `base`, whose ledger they do not use.
Result<std::unique_ptr<Communicator>> shared_group(std::unique_ptr<Communicator> base,
                                                   const RankStreams& streams, Ledger* ledger);
Result<std::unique_ptr<Communicator>> nccl_group(std::unique_ptr<Communicator> base,
                                                 const RankStreams& streams, Ledger* ledger);

}  // namespace meshplan::cuda
