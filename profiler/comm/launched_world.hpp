// SPDX-License-Identifier: Apache-2.0
// This process is one of several that a launcher started: how do they meet?
#pragma once
#include "profiler/comm/world.hpp"

namespace meshplan {

/// By TCP where the environment says where rank 0 is (tcp_world.hpp), else by MPI (mpi_world.hpp;
/// finish_mpi must end the process). Returns as those do.
Status run_launched_rank(const WorldOptions& options, const RankFunction& rank);

}  // namespace meshplan
