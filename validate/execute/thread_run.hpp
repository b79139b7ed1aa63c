// SPDX-License-Identifier: Apache-2.0
// Training of a plan by threads of this process: the default, which needs nothing installed.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "profiler/comm/world.hpp"
#include "validate/execute/rank_run.hpp"

namespace meshplan {

/// Whole tensors by name, row by row.
using Tensors = std::map<std::string, std::vector<float>>;

struct RunReport {
  std::vector<StepResult> steps;  ///< of rank 0
  std::vector<RankReport> ranks;
  Tensors gradients;  ///< of the first step, if collected
  Tensors weights;    ///< after the last step, if collected
};

struct ThreadRun {
  RunOptions options;
  WorldOptions world;
  bool collect = false;                   ///< gather gradients and weights of all ranks
  const WeightSource* weights = nullptr;  ///< null: random
};

/// Error: of the plan (see not_executable), or of the first rank that failed.
Result<RunReport> run_on_threads(const Program& program, const ThreadRun& run,
                                 const TokenSource& tokens);

}  // namespace meshplan
