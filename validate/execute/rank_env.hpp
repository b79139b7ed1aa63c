// SPDX-License-Identifier: Apache-2.0
// What every operation of one rank may ask for: its place, its groups, its device, positions.
#pragma once
#include <array>
#include <memory>

#include "profiler/comm/world.hpp"
#include "strategies/program/program.hpp"
#include "validate/execute/device.hpp"
#include "validate/execute/rank_place.hpp"
#include "validate/execute/run_options.hpp"

namespace meshplan {

class RankEnv {
 public:
  /// Makes the communicators; all ranks of the world call it. All arguments outlive it.
  static Result<std::unique_ptr<RankEnv>> make(World& world, const Program& program,
                                               const RunOptions& options, Device& device);

  const Program& program() const { return *program_; }
  const Plan& plan() const { return program_->plan; }
  const RunOptions& options() const { return *options_; }
  const RankPlace& place() const { return place_; }
  Device& device() { return *device_; }
  /// Null where the group is this rank alone.
  Communicator* group(Group group) { return groups_[static_cast<size_t>(group)].get(); }

  /// Positions in the sequence of the rows that context rank `cp` holds of each sequence:
  /// chunks cp and 2 n - 1 - cp of 2 n (Llama 3, section 3.3.2).
  const std::vector<int32_t>& positions(int cp) const {
    return positions_[static_cast<size_t>(cp)];
  }
  /// Of all ranks one after the other, as an all-gather leaves them.
  const std::vector<int32_t>& gathered_positions() const { return gathered_; }
  /// Of this rank's rows of all sequences of a micro-batch.
  const std::vector<int32_t>& row_positions() const { return rows_; }
  /// As positions(own rank), whatever Fault says: which tokens this rank gets.
  const std::vector<int32_t>& token_positions() const { return tokens_; }
  const float* cosine() const { return cosine_.data(); }
  const float* sine() const { return sine_.data(); }
  double tokens_per_step() const {
    return static_cast<double>(program_->batch.sequence * program_->batch.global_sequences);
  }
  /// What one token adds to the gradient of the mean loss.
  double token_weight() const;

 private:
  RankEnv(const Program& program, const RunOptions& options, RankPlace place, Device& device);
  void make_positions();

  const Program* program_;
  const RunOptions* options_;
  RankPlace place_;
  Device* device_;
  std::array<std::unique_ptr<Communicator>, kGroups> groups_;
  std::vector<std::vector<int32_t>> positions_;
  std::vector<int32_t> gathered_, rows_, tokens_;
  std::vector<float> cosine_, sine_;
};

}  // namespace meshplan
