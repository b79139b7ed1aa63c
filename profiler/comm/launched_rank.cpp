// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <string_view>

#include "profiler/comm/gpu_world.hpp"

namespace meshplan {
namespace {

int first_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    const std::string_view view(text);
    int value = -1;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
    if (error == std::errc() && end == view.data() + view.size() && value >= 0) return value;
  }
  return -1;
}

}  // namespace

/// torchrun's first: under srun it starts ranks of its own on every node.
LaunchedRank launched_rank() {
  return {
      first_of({"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}),
      first_of({"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"}),
      first_of({"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"})};
}

}  // namespace meshplan
