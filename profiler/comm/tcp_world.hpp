// SPDX-License-Identifier: Apache-2.0
// Ranks as processes that torchrun, srun or a shell starts, without MPI: they meet at the address
// of rank 0. Beside small runs on CPUs this carries NCCL's ids between GPUs (gpu_world.hpp).
#pragma once
#include <optional>

#include "profiler/comm/world.hpp"

namespace meshplan {

struct TcpPlace {
  int rank = 0, size = 1;
  std::string address;  ///< name or number of rank 0's computer
  uint16_t port = 0;
};

/// RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun sets them, or Slurm's numbers with the
/// same address and port; the next port where torchrun's agent has that one itself. Empty: not all
/// are there. Error (usage): nonsense in one of them.
Result<std::optional<TcpPlace>> tcp_place_from_environment();

/// Runs `rank` as this process's rank. Returns on rank 0 what run_ranks returns, on others their
/// own error, or Done.
Status run_tcp_rank(const TcpPlace& place, const WorldOptions& options, const RankFunction& rank);

}  // namespace meshplan
