// SPDX-License-Identifier: Apache-2.0
// One rank's walk through the step program: schedule action -> chunk -> block -> phase ->
// operation.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "validate/execute/block_state.hpp"
#include "validate/execute/collective.hpp"
#include "validate/execute/in_flight.hpp"
#include "validate/execute/lifetimes.hpp"
#include "validate/execute/rank_env.hpp"
#include "validate/execute/reduction.hpp"
#include "validate/execute/routed.hpp"

namespace meshplan {

/// Most bytes of activations that a block was seen to hold, to compare with BlockMemory.
struct BlockPeaks {
  int64_t forward = 0, backward = 0, weight = 0, saved = 0, held = 0;
};

class StageRunner {
 public:
  /// env and tokens outlive the runner.
  StageRunner(RankEnv& env, const TokenSource& tokens);
  /// Reserves the memory of the device, as laid out. Without it the runner only walks.
  Status reserve(ArenaLayout layout);
  /// Creates the states; once, before all passes. weights: null for 0.
  Status create(const WeightSource* weights);

  /// Forward and backward passes of all micro-batches; afterwards the gradient shards hold the
  /// gradients of the mean loss of the whole batch, and the device the sum of the losses of this
  /// rank's tokens.
  Status pass(int64_t step);
  /// Frees what a step leaves open, after the update.
  void close();

  struct Instance {
    BlockState state;
    const Lifetimes* lifetimes;
    int block;       ///< index into Program::blocks
    int64_t number;  ///< of this rank's instances
  };
  /// All layers and ends of this rank.
  const std::vector<Instance*>& instances() const { return all_; }

  const Meters& meters() const { return meters_; }
  const Arena& arena() const { return arena_; }
  const std::vector<BlockPeaks>& peaks() const { return peaks_; }  ///< by block of the program
  const Routed& routed() const { return routed_; }

 private:
  using Chunk = std::vector<std::unique_ptr<Instance>>;
  struct Progress {
    int64_t forwards = 0, finished = 0;  ///< micro-batches of a chunk in this step
  };
  Status act(const Action& action);
  Status forward(const Action& action);
  Status backward(const Action& action);
  Status weight(const Action& action);

  /// Where the operations of a phase work.
  struct PhaseSite {
    Instance& instance;
    Frame& frame;
    OpSite site;
  };
  /// What is born and what dies with the operation at this position.
  Status allocate_at(const PhaseSite& at, size_t position);
  static void free_at(const PhaseSite& at, size_t position);
  Status run_op(const Op& op, const OpSite& site);
  /// Two operations as one; frees all but what dies with the second.
  Status gather_and_multiply(const PhaseSite& at, const Op& gather, const Op& product,
                             size_t position);
  Status sum_and_norm(const PhaseSite& at, const Op& sum, const Op& norm, size_t position,
                      bool runs);
  Status multiply_and_scatter(const PhaseSite& at, const Op& product, const Op& scatter,
                              size_t position);
  Status run_phase(Instance& instance, Frame& frame, Phase phase, BufferId kept, Memory* result);
  Status forward_block(Instance& instance, Frame& frame, int64_t micro_batch, Memory* x);
  Status backward_block(Instance& instance, Frame& frame, int64_t micro_batch, Memory* gradient);
  Status weight_block(Instance& instance, Frame& frame, int64_t micro_batch);
  Status finish_block(Instance& instance, bool last);
  Status gather(Instance& instance);
  /// Begins to gather what the block after the one at hand will need, where the trainer does so.
  Status gather_ahead(Instance& instance);
  bool gathers(const Instance& instance, bool first) const;  ///< before its forward pass
  /// Starts it; the one before is finished first.
  Status reduce(Instance& instance, bool last);
  Status finish_reduction();
  /// Gradients that the instance is about to add to are not under way.
  Status open_gradients(Instance& instance);
  Status reduce_tied();
  bool last_of(const Action& action) const;  ///< micro-batch of its chunk to be finished
  Status give_tokens(Instance& instance, Frame& frame, int64_t micro_batch);
  Status show(const Instance& instance, const Frame& frame, const Op& op) const;
  int64_t alive(const Instance& instance, const Frame& frame) const;

  /// Value or gradient at the border between virtual stages `at` - 1 and `at`.
  Status hand_over(bool is_gradient, int virtual_stage, int64_t micro_batch, Memory memory);
  Status take_over(bool is_gradient, int virtual_stage, int64_t micro_batch, Memory* memory);
  /// Where it comes from another stage and is not under way yet.
  Status start_receive(bool is_gradient, int virtual_stage, int64_t micro_batch);
  /// Begins to receive what an action will need from another stage.
  Status receive_for(const Action& action);

  RankEnv& env_;
  const TokenSource& tokens_;
  const Program& program_;
  Meters meters_;
  Arena arena_;
  std::vector<Lifetimes> lifetimes_;  ///< by block
  std::vector<BlockPeaks> peaks_;
  std::vector<Action> schedule_;
  std::vector<Chunk> chunks_;
  std::vector<Instance*> all_;
  std::vector<Progress> progress_;
  std::map<std::pair<int, int64_t>, std::vector<Frame>> frames_;  ///< by chunk and micro-batch
  std::map<std::tuple<bool, int, int64_t>, Memory> handed_;       ///< between chunks of this rank
  struct Receive {
    Memory memory;
    Pending pending;
  };
  std::map<std::tuple<bool, int, int64_t>, Receive> received_;  ///< messages under way
  std::map<Instance*, std::vector<StartedGather>> ahead_;       ///< gathers under way
  InFlight in_flight_;                                          ///< of the phase at hand
  std::unique_ptr<Reduction> reduction_;                        ///< under way
  int64_t step_ = 0, micro_batch_ = 0;
  Routed routed_;
};

}  // namespace meshplan
