// SPDX-License-Identifier: Apache-2.0
// Ranks whose buffers are device memory: the communicator of communicator.hpp between GPUs (NCCL)
// or between ranks that share one GPU (copies and sums by kernels, ordered by events).
//
// A GPU world stands on a world of threads or of MPI processes, whose communicators carry addresses
// and NCCL's ids, find calls that do not meet, and end the run. Beyond communicator.hpp:
// * an operation starts after what is on the rank's compute stream when it is started, and runs on
//   the stream of its kind; after wait() whatever is put on the compute stream comes after it. The
//   host waits for the other ranks' calls (shared GPU) or not at all (NCCL), never for the data.
// * NCCL: sums are in NCCL's order; between GPUs nothing of it has been run yet
// (validate/README.md). In a build without CUDA the functions are there and say so.
#pragma once
#include "profiler/comm/world.hpp"

struct CUstream_st;

namespace meshplan {

enum class GpuTransport : uint8_t {
  shared,  ///< all ranks are threads of this process and use one GPU
  nccl,    ///< one GPU per rank
};

struct GpuWorldOptions {
  GpuTransport transport = GpuTransport::shared;
  int device = 0;  ///< of this rank
};

class GpuWorld : public World {
 public:
  /// `base` outlives it; its ledger counts the addresses, this one's the data. All ranks call it.
  /// Error (missing): no CUDA, no such device, no NCCL.
  static Result<std::unique_ptr<GpuWorld>> make(World& base, const GpuWorldOptions& options);
  /// Where this rank's kernels go.
  virtual CUstream_st* compute_stream() const = 0;
};

/// Rank, number of ranks and rank on this node as mpirun, srun or torchrun tell them; -1 where none
/// does.
struct LaunchedRank {
  int rank = -1, size = -1, local_rank = -1;
};
LaunchedRank launched_rank();

}  // namespace meshplan
