// SPDX-License-Identifier: Apache-2.0
// Our own executor: the plan file is its configuration, so there is nothing to write or read here.
#include "strategies/launch/trainers.hpp"

namespace meshplan::launch {

const TrainerFiles& meshplan_files() {
  static const TrainerFiles files = {
      .id = "meshplan",
      .name = "meshplan's own executor, one process a rank",
      .plans = "meshplan",
      .file = "plan.yaml",
      .versions = {{0, 1}},
      .knobs = {},
      .rules = {},
      .limits = {},
      .write = nullptr,
      .start =
          [](const Job&, Version) {
            Start start;
            start.kind = Start::Kind::mpi;
            start.environment = {{"OPENBLAS_NUM_THREADS", "1"}};
            start.program = "meshplan-rank plan.yaml --steps 10";
            start.needs = {"meshplan-rank in the PATH of every node, built with MPI"};
            return start;
          },
      .read = nullptr};
  return files;
}

}  // namespace meshplan::launch
