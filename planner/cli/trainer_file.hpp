// SPDX-License-Identifier: Apache-2.0
// Which trainer's file is it, in which release, and what does the user say beside it? For check and
// import.
#pragma once
#include <string>

#include "planner/cli/parse.hpp"
#include "strategies/launch/launch.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan::cli {

struct TrainerFileFlags {
  std::string trainer, version, file, model, cluster, sequence, global_batch, micro_batch,
      recompute, entry;
  bool json = false;
};
void add_trainer_file_flags(CLI::App& app, TrainerFileFlags& flags);

struct TrainerFile {
  const launch::TrainerFiles* trainer = nullptr;
  launch::Version version;
  std::optional<Cluster> cluster;
  launch::Checked checked;
};
/// Reads and checks the file. Errors: usage (misspelt names), input (not a file of that kind).
Result<TrainerFile> read_trainer_file(const TrainerFileFlags& flags);

}  // namespace meshplan::cli
