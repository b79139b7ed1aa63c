// SPDX-License-Identifier: Apache-2.0
// Training of a plan by one rank of a world, step by step.
#pragma once
#include <memory>

#include "validate/execute/update.hpp"

namespace meshplan {

struct StepResult {
  double loss = 0;           ///< mean over all tokens of the step, before the update
  double gradient_norm = 0;  ///< of the whole model, before clipping
  double seconds = 0;        ///< of this rank
  double cpu_seconds = 0;    ///< processor time of this rank's process, so of all its threads
};

/// What a rank counted so far.
struct RankReport {
  RankPlace place;
  std::string device;
  Ledger ledger;
  Meters meters;  ///< at the end; peaks over the run
  int64_t peak_bytes = 0;
  int64_t arena_bytes = 0;         ///< of the one piece that all buffers lie in
  int64_t device_bytes = 0;        ///< see Device::used_bytes
  std::vector<BlockPeaks> blocks;  ///< by block of the program
  Routed routed;                   ///< in all forward passes
};

class RankRun {
 public:
  /// Collective over the world. program, options and tokens outlive the run. weights: null for
  /// random ones; device: null for this computer's CPU.
  static Result<std::unique_ptr<RankRun>> make(World& world, const Program& program,
                                               const RunOptions& options, const TokenSource& tokens,
                                               const WeightSource* weights = nullptr,
                                               std::unique_ptr<Device> device = nullptr);
  Result<StepResult> step();
  int64_t next_step() const { return next_; }
  /// For a run that is resumed.
  void set_next_step(int64_t step) { next_ = step; }

  RankReport report(const World& world) const;

  RankEnv& env() { return *env_; }
  StageRunner& stage() { return *stage_; }

 private:
  RankRun() = default;
  Status sum_over_world(std::span<double> sums);
  std::unique_ptr<Device> device_;
  std::unique_ptr<RankEnv> env_;
  std::unique_ptr<StageRunner> stage_;
  int64_t next_ = 0, arena_bytes_ = 0;
};

/// Why can the executor not run this program? Empty: it can.
std::vector<std::string> not_executable(const Program& program, const RunOptions& options);

}  // namespace meshplan
