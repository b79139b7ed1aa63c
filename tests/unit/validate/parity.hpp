// SPDX-License-Identifier: Apache-2.0
// A small Llama, and the comparison of a plan's run with that of one rank.
#pragma once
#include <string>

#include "strategies/program/lower.hpp"
#include "validate/execute/thread_run.hpp"

namespace meshplan::test {

/// 4 layers, 4 query and 4 key heads (so that tp 4 fits), untied.
Model small_llama();
/// The same with 4 experts, of which each token visits 2.
Model small_moe();
/// fp32 throughout.
Trainer fp32_trainer();
/// zero level etc. of a plan for fp32.
Plan fp32_plan();

inline constexpr int64_t kSequence = 32;
inline constexpr int64_t kSequences = 8;  ///< per step

struct Comparison {
  double loss = 0;          ///< |difference| / loss of the first step
  double norm = 0;          ///< the same of the gradient norm
  double gradients = 0;     ///< largest relative L2 error of a tensor
  std::string worst;        ///< that tensor
  double later_losses = 0;  ///< largest relative difference of the later steps
  bool ledger = true;       ///< every rank's calls and bytes are the expected ones
  bool memory = true;       ///< every block's bytes are those of its live ranges
  std::string note;         ///< what differs
};

Result<RunReport> run(const Model& model, const Plan& plan, const Trainer& trainer,
                      const RunOptions& options);

/// Runs the plan and one rank (whose run is kept for the next call).
Result<Comparison> compare(const Model& model, const Plan& plan, const Trainer& trainer,
                           const RunOptions& options);

}  // namespace meshplan::test
