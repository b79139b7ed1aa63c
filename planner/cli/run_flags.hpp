// SPDX-License-Identifier: Apache-2.0
// How is a plan to be trained here? Flags that `meshplan validate run` (threads) and meshplan-rank
// (processes) share.
#pragma once
#include "planner/cli/parse.hpp"
#include "validate/run/run_plan.hpp"

namespace meshplan::cli {

struct RunFlags {
  int64_t steps = 5, seed = 1, workers = 1, warmup = 0, routing_group = 0, save_every = 0;
  double learning_rate = 3e-4, clip = 1, timeout_s = 60;
  std::string profile, weights, text, tokens, token_format, checkpoints, export_folder, device,
      compute, gpu;
  bool resume = false, dropless = false, deterministic = false;
};

void add_run_flags(CLI::App& app, RunFlags& flags);

/// Everything but the plan, into `run`, whose model is known. Error (input): of the CPU profile.
Status apply_run_flags(const RunFlags& flags, RunQuestion& run);

}  // namespace meshplan::cli
