// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/stage_runner.hpp"

#include <algorithm>
#include <cassert>

namespace meshplan {

StageRunner::StageRunner(RankEnv& env, const TokenSource& tokens)
    : env_(env), tokens_(tokens), program_(env.program()), peaks_(program_.blocks.size()) {
  for (const Block& block : program_.blocks) lifetimes_.emplace_back(block);
  const auto stage = static_cast<size_t>(env.place().stage);
  schedule_ = make_schedule(program_.schedule).value()[stage];
  BlockState* embedding = nullptr;
  for (const meshplan::Chunk& chunk : program_.stages[stage].chunks) {
    Chunk& mine = chunks_.emplace_back();
    for (const BlockRun& run : chunk.runs) {
      const auto index = static_cast<size_t>(run.block);
      const Block& block = program_.blocks[index];
      for (int i = 0; i < run.count; ++i) {
        const int layer = run.first_layer < 0 ? -1 : run.first_layer + i;
        mine.push_back(std::make_unique<Instance>(Instance{
            BlockState(program_, block, env.place(), layer, &env.device(), &arena_, &meters_),
            &lifetimes_[index], run.block, static_cast<int64_t>(all_.size())}));
        BlockState& state = mine.back()->state;
        if (block.input < 0) embedding = &state;
        if (!block.parameters.empty() && block.parameters.back().tied) state.tie(embedding);
        all_.push_back(mine.back().get());
      }
    }
  }
}

Status StageRunner::reserve(ArenaLayout layout) {
  MESHPLAN_TRY(std::byte* const base, env_.device().reserve(layout.bytes));
  arena_.lie_at(base, std::move(layout));
  return Done{};
}

Status StageRunner::create(const WeightSource* weights) {
  for (Instance* instance : all_) MESHPLAN_CHECK(instance->state.create(weights));
  return Done{};
}

Status StageRunner::pass(int64_t step) {
  step_ = step;
  progress_.assign(chunks_.size(), {});
  for (Instance* instance : all_) MESHPLAN_CHECK(instance->state.zero_gradients());
  for (size_t i = 0; i < schedule_.size(); ++i) {
    if (program_.trainer.overlap_p2p && i + 1 < schedule_.size()) {
      MESHPLAN_CHECK(receive_for(schedule_[i + 1]));
    }
    MESHPLAN_CHECK(act(schedule_[i]));
  }
  MESHPLAN_CHECK(finish_reduction());
  if (program_.tied_across_stages) MESHPLAN_CHECK(reduce_tied());
  if (!frames_.empty() || !handed_.empty() || !received_.empty() || !ahead_.empty() ||
      meters_.activation.alive != 0) {
    return Diagnostic{.message = "activations are left over at the end of a step"};
  }
  return Done{};
}

void StageRunner::close() {
  for (Instance* instance : all_) instance->state.close_weights();
}

Status StageRunner::act(const Action& action) {
  switch (action.work) {
    case Work::forward:
      return forward(action);
    case Work::backward:
      MESHPLAN_CHECK(backward(action));
      return weight(action);
    case Work::input_gradient:
      return backward(action);
    case Work::weight_gradient:
      return weight(action);
  }
  return Done{};
}

Status StageRunner::forward(const Action& action) {
  const int v = virtual_stage(program_.schedule, env_.place().stage, action.chunk);
  Chunk& chunk = chunks_[static_cast<size_t>(action.chunk)];
  const bool first = progress_[static_cast<size_t>(action.chunk)].forwards++ == 0;
  std::vector<Frame>& frames = frames_[{action.chunk, action.micro_batch}];
  frames.resize(chunk.size());
  Memory x;
  if (v > 0) MESHPLAN_CHECK(take_over(false, v, action.micro_batch, &x));
  for (size_t i = 0; i < chunk.size(); ++i) {
    Instance& instance = *chunk[i];
    const Block& block = instance.state.block();
    if (ahead_.contains(&instance) || gathers(instance, first)) MESHPLAN_CHECK(gather(instance));
    if (i + 1 < chunk.size() && gathers(*chunk[i + 1], first)) {
      MESHPLAN_CHECK(gather_ahead(*chunk[i + 1]));
    }
    MESHPLAN_CHECK(forward_block(instance, frames[i], action.micro_batch, &x));
    if (block.parameters_freed) instance.state.close_weights();
  }
  if (v + 1 == virtual_stages(program_.schedule)) return Done{};
  return hand_over(false, v + 1, action.micro_batch, std::move(x));
}

Status StageRunner::backward(const Action& action) {
  const int v = virtual_stage(program_.schedule, env_.place().stage, action.chunk);
  Chunk& chunk = chunks_[static_cast<size_t>(action.chunk)];
  std::vector<Frame>& frames = frames_[{action.chunk, action.micro_batch}];
  Memory gradient;
  if (v + 1 < virtual_stages(program_.schedule)) {
    MESHPLAN_CHECK(take_over(true, v + 1, action.micro_batch, &gradient));
  }
  for (size_t i = chunk.size(); i-- > 0;) {
    Instance& instance = *chunk[i];
    const bool freed = instance.state.block().parameters_freed;
    if (freed) MESHPLAN_CHECK(gather(instance));
    if (i > 0 && chunk[i - 1]->state.block().parameters_freed) {
      MESHPLAN_CHECK(gather_ahead(*chunk[i - 1]));
    }
    MESHPLAN_CHECK(backward_block(instance, frames[i], action.micro_batch, &gradient));
    if (freed) instance.state.close_weights();
    // a whole backward reduces block after block, while the gradients of only one are open
    if (action.work == Work::backward) {
      MESHPLAN_CHECK(weight_block(instance, frames[i], action.micro_batch));
      MESHPLAN_CHECK(finish_block(instance, last_of(action)));
    }
  }
  if (v == 0) return Done{};
  return hand_over(true, v, action.micro_batch, std::move(gradient));
}

bool StageRunner::gathers(const Instance& instance, bool first) const {
  const When when = instance.state.block().gather_when;
  return when == When::each_micro_batch || (when == When::first_micro_batch && first) ||
         !instance.state.weights_open();
}

bool StageRunner::last_of(const Action& action) const {
  const MicroBatchRange range = micro_batches_of(program_.schedule, action.chunk);
  return progress_[static_cast<size_t>(action.chunk)].finished + 1 == range.last - range.first;
}

Status StageRunner::weight(const Action& action) {
  Chunk& chunk = chunks_[static_cast<size_t>(action.chunk)];
  const auto found = frames_.find({action.chunk, action.micro_batch});
  assert(found != frames_.end());
  if (action.work == Work::weight_gradient) {
    for (size_t i = chunk.size(); i-- > 0;) {
      MESHPLAN_CHECK(weight_block(*chunk[i], found->second[i], action.micro_batch));
      MESHPLAN_CHECK(finish_block(*chunk[i], last_of(action)));
    }
  }
  frames_.erase(found);
  ++progress_[static_cast<size_t>(action.chunk)].finished;
  return Done{};
}

Status StageRunner::hand_over(bool is_gradient, int at, int64_t micro_batch, Memory memory) {
  const int to = is_gradient ? at - 1 : at;
  const Place there = place_of(program_.schedule, to);
  if (there.stage == env_.place().stage) {
    handed_[{is_gradient, at, micro_batch}] = std::move(memory);
    return Done{};
  }
  return env_.group(Group::pp)->send(memory.get(), program_.boundary_bytes, there.stage,
                                     message_tag(is_gradient, at, static_cast<int>(micro_batch)));
}

Status StageRunner::take_over(bool is_gradient, int at, int64_t micro_batch, Memory* memory) {
  const int from = is_gradient ? at : at - 1;
  const Place there = place_of(program_.schedule, from);
  if (there.stage == env_.place().stage) {
    const auto found = handed_.find({is_gradient, at, micro_batch});
    assert(found != handed_.end());
    *memory = std::move(found->second);
    handed_.erase(found);
    return Done{};
  }
  MESHPLAN_CHECK(start_receive(is_gradient, at, micro_batch));
  const auto found = received_.find({is_gradient, at, micro_batch});
  Receive receive = std::move(found->second);
  received_.erase(found);
  *memory = std::move(receive.memory);
  return receive.pending.wait();
}

Status StageRunner::start_receive(bool is_gradient, int at, int64_t micro_batch) {
  const Place there = place_of(program_.schedule, is_gradient ? at : at - 1);
  const std::tuple key{is_gradient, at, micro_batch};
  if (there.stage == env_.place().stage || received_.contains(key)) return Done{};
  Receive& receive = received_[key];
  MESHPLAN_TRY(receive.memory, arena_.allocate(program_.boundary_bytes, &meters_.activation));
  receive.pending = env_.group(Group::pp)->start_receive(
      receive.memory.get(), program_.boundary_bytes, there.stage,
      message_tag(is_gradient, at, static_cast<int>(micro_batch)));
  return Done{};
}

Status StageRunner::receive_for(const Action& action) {
  if (action.work == Work::weight_gradient) return Done{};
  const int v = virtual_stage(program_.schedule, env_.place().stage, action.chunk);
  if (action.work == Work::forward) {
    return v > 0 ? start_receive(false, v, action.micro_batch) : Status(Done{});
  }
  const bool last = v + 1 == virtual_stages(program_.schedule);
  return last ? Status(Done{}) : start_receive(true, v + 1, action.micro_batch);
}

}  // namespace meshplan
