// SPDX-License-Identifier: Apache-2.0
// Ranks as processes under mpirun or srun. In a build without MPI the functions are there and say
// so (mpi_absent.cpp).
//
//   int main() {
//     const Status status = run_mpi_rank(options, rank);   // on every process
//     ... rank 0 prints ...
//     finish_mpi(code); return code;
//   }
//
// Beyond the contract of communicator.hpp: data moves while a rank is inside a call of any
// communicator, so a wait may last as long as another rank computes without calling.
#pragma once
#include "profiler/comm/world.hpp"

namespace meshplan {

/// Runs `rank` as this process's rank of MPI_COMM_WORLD; once per process, initialises MPI. Returns
/// on rank 0 what run_ranks returns, on others their own error, or Done. A rank without a sign of
/// life is given up after some time-outs. ErrorKind::missing without MPI.
Status run_mpi_rank(const WorldOptions& options, const RankFunction& rank);

/// Last call of the process: an orderly end if all ranks came to one, else ends all processes with
/// `exit_code` (rank 0 does it; the others wait for that, so that rank 0 can say why).
void finish_mpi(int exit_code);

}  // namespace meshplan
