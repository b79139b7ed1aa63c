// SPDX-License-Identifier: Apache-2.0
// Which model, machine, batch and trainer does a command line name, and what was filled in?
#pragma once
#include <string>
#include <vector>

#include "planner/cli/parse.hpp"
#include "planner/report/question.hpp"

namespace meshplan::cli {

struct InputFlags {
  std::string model, cluster;  ///< positional; `model` may be a plan file, then no cluster
  std::string gpus, sequence, global_batch, global_batch_tokens, trainer, precision, gradients,
      convention, gpu_profile;
  std::vector<std::string> settings;  ///< of the trainer: "overlap.tp=none"
  bool json = false;
};
void add_input_flags(CLI::App& app, InputFlags& flags);

/// A plan file in the place of MODEL CLUSTER gives all of it; flags go before it.
/// Errors: usage (misspelt or missing), input (bad file).
Result<report::Question> resolve(const InputFlags& flags);

/// Sequences a step when nothing is said: about four million tokens (Llama 2, arXiv 2307.09288,
/// table 1), rounded up so that as many data-parallel degrees as can be divide it.
int64_t default_global_batch(int64_t sequence, int64_t gpus);

}  // namespace meshplan::cli
