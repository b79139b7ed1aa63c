// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/expected_memory.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "strategies/program/live_range.hpp"

namespace meshplan {
namespace {

/// One layer or end of the stage.
struct Instance {
  const Block* block;
  BlockMemory memory;
  bool weights_open = false, gradients_open = false;
};

class Walk {
 public:
  Walk(const Program& program, int stage) : program_(program), stage_(stage) {
    for (const Chunk& chunk : program.stages[static_cast<size_t>(stage)].chunks) {
      auto& mine = chunks_.emplace_back();
      for (const BlockRun& run : chunk.runs) {
        const Block& block = program.blocks[static_cast<size_t>(run.block)];
        const BlockMemory memory = memory_of(block);
        for (int i = 0; i < run.count; ++i) mine.push_back({&block, memory});
        out_.states += run.count * memory.resident();
      }
    }
    alive_ = out_.peak = out_.states;
  }

  ExpectedMemory run(const StageSchedule& schedule) {
    for (size_t a = 0; a < schedule.size(); ++a) {
      const Action& action = schedule[a];
      const int v = virtual_stage(program_.schedule, stage_, action.chunk);
      if (program_.trainer.overlap_p2p && a + 1 < schedule.size()) receive(schedule[a + 1]);
      receive(action);
      switch (action.work) {
        case Work::forward:
          forward(chunks_[static_cast<size_t>(action.chunk)], v);
          break;
        case Work::backward:
        case Work::input_gradient:
          backward(chunks_[static_cast<size_t>(action.chunk)], v, action.work == Work::backward);
          break;
        case Work::weight_gradient:
          for (size_t i = chunk_size(action.chunk); i-- > 0;) {
            weight(chunks_[static_cast<size_t>(action.chunk)][i]);
          }
          break;
      }
    }
    return out_;
  }

 private:
  size_t chunk_size(int chunk) const { return chunks_[static_cast<size_t>(chunk)].size(); }
  bool remote(int v) const { return place_of(program_.schedule, v).stage != stage_; }
  /// `more`: bytes beyond what is alive.
  void reach(int64_t more) { out_.peak = std::max(out_.peak, alive_ + more); }
  void change(int64_t bytes) {
    alive_ += bytes;
    reach(0);
  }
  void open(bool& flag, bool now, int64_t bytes) {
    if (flag == now) return;
    flag = now;
    change(now ? bytes : -bytes);
  }

  void forward(std::vector<Instance>& chunk, int v) {
    for (size_t i = 0; i < chunk.size(); ++i) {
      Instance& instance = chunk[i];
      const Block& block = *instance.block;
      const BlockMemory& memory = instance.memory;
      open(instance.weights_open, true, memory.gathered);
      if (i + 1 < chunk.size()) open_ahead(chunk[i + 1]);
      const int64_t input = block.input >= 0 ? block.buffer(block.input).bytes() : 0;
      reach(memory.forward_peak - input);
      const int64_t output = block.output >= 0 ? memory.output : 0;  // the head has none
      change(memory.saved + output - input);
      if (block.parameters_freed) open(instance.weights_open, false, memory.gathered);
    }
    if (v + 1 < virtual_stages(program_.schedule) && remote(v + 1)) {
      change(-program_.boundary_bytes);
    }
  }

  void backward(std::vector<Instance>& chunk, int v, bool whole) {
    for (size_t i = chunk.size(); i-- > 0;) {
      Instance& instance = chunk[i];
      const Block& block = *instance.block;
      const BlockMemory& memory = instance.memory;
      open(instance.weights_open, true, memory.gathered);
      if (i > 0 && chunk[i - 1].block->parameters_freed) open_ahead(chunk[i - 1]);
      open_gradients(instance);
      const auto bytes = [&](BufferId id) { return id >= 0 ? block.buffer(id).bytes() : 0; };
      const int64_t given = memory.saved + bytes(block.output_gradient);
      reach(memory.backward_peak - given);
      change(memory.held + bytes(block.input_gradient) - given);
      if (block.parameters_freed) open(instance.weights_open, false, memory.gathered);
      if (whole) weight(instance);
    }
    if (v > 0 && remote(v - 1)) change(-program_.boundary_bytes);
  }

  void weight(Instance& instance) {
    open_gradients(instance);
    const BlockMemory& memory = instance.memory;
    reach(memory.weight_peak - memory.held);
    change(-memory.held);
    if (instance.block->reduce_when != When::each_micro_batch) return;
    finish_reduction();
    reducing_ = &instance;
    if (!program_.trainer.overlap_grad_reduce) finish_reduction();
  }

  void finish_reduction() {
    if (reducing_ == nullptr) return;
    open(reducing_->gradients_open, false, reducing_->memory.whole_gradients);
    reducing_ = nullptr;
  }

  /// What an action needs from another stage has its place when the action before begins.
  void receive(const Action& action) {
    if (action.work == Work::weight_gradient) return;
    const int v = virtual_stage(program_.schedule, stage_, action.chunk);
    const bool back = action.work != Work::forward;
    const int from = back ? v + 1 : v - 1;
    if (from < 0 || from >= virtual_stages(program_.schedule) || !remote(from)) return;
    if (received_.insert({back, v, action.micro_batch}).second) change(program_.boundary_bytes);
  }

  /// Weights of the block after the one at hand are gathered beside it.
  void open_ahead(Instance& instance) {
    if (program_.trainer.fsdp_prefetch < 1) return;
    open(instance.weights_open, true, instance.memory.gathered);
  }

  /// The gradient of a tied table lies in the embedding's flat.
  void open_gradients(Instance& instance) {
    const std::vector<Parameter>& parameters = instance.block->parameters;
    if (!parameters.empty() && parameters.back().tied) open_gradients(chunks_.front().front());
    if (reducing_ == &instance) finish_reduction();
    open(instance.gradients_open, true, instance.memory.whole_gradients);
  }

  const Program& program_;
  int stage_;
  std::vector<std::vector<Instance>> chunks_;
  ExpectedMemory out_;
  int64_t alive_ = 0;
  Instance* reducing_ = nullptr;  ///< its gradients are under way
  std::set<std::tuple<bool, int, int64_t>> received_;
};

}  // namespace

Result<ExpectedMemory> expected_memory(const Program& program, const RankPlace& place) {
  MESHPLAN_TRY(const std::vector<StageSchedule> schedule, make_schedule(program.schedule));
  return Walk(program, place.stage).run(schedule[static_cast<size_t>(place.stage)]);
}

}  // namespace meshplan
