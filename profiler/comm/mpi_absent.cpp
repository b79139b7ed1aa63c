// SPDX-License-Identifier: Apache-2.0
// In place of mpi_world.cpp where MPI was not found.
#include "profiler/comm/mpi_world.hpp"

namespace meshplan {

Status run_mpi_rank(const WorldOptions&, const RankFunction&) {
  return Diagnostic{.kind = ErrorKind::missing,
                    .message = "this build has no MPI",
                    .hint =
                        "install OpenMPI (on Debian: apt-get install libopenmpi-dev "
                        "openmpi-bin) and configure again, or run the ranks as threads"};
}

void finish_mpi(int) {}

}  // namespace meshplan
