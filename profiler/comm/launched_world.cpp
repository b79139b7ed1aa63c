// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/launched_world.hpp"

#include "profiler/comm/mpi_world.hpp"
#include "profiler/comm/tcp_world.hpp"

namespace meshplan {

Status run_launched_rank(const WorldOptions& options, const RankFunction& rank) {
  MESHPLAN_TRY(const std::optional<TcpPlace> place, tcp_place_from_environment());
  return place ? run_tcp_rank(*place, options, rank) : run_mpi_rank(options, rank);
}

}  // namespace meshplan
