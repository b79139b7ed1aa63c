// SPDX-License-Identifier: Apache-2.0
// How are the processes started: by Slurm, by torchrun on each node, or from a plain shell?
#pragma once
#include <vector>

#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch {

/// torchrun.sh (or mpirun.sh), slurm.sh, shell.sh.
std::vector<LaunchFile> start_files(const Job& job, const Start& start);

}  // namespace meshplan::launch
