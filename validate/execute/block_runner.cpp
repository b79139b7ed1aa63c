// SPDX-License-Identifier: Apache-2.0
// StageRunner's part within one block: phases, lifetimes, gathering and reducing.
#include <algorithm>

#include "profiler/kernels/elementwise.hpp"
#include "validate/execute/stage_runner.hpp"

namespace meshplan {

int64_t StageRunner::alive(const Instance& instance, const Frame& frame) const {
  int64_t bytes = 0;
  for (size_t i = 0; i < frame.size(); ++i) {
    if (frame[i]) bytes += instance.state.block().buffers[i].bytes();
  }
  return bytes;
}

void StageRunner::show(const Instance& instance, const Frame& frame, const Op& op) const {
  for (const BufferId id : op.out) {
    const Buffer& buffer = instance.state.block().buffer(id);
    const Memory& memory = frame[static_cast<size_t>(id)];
    if (memory) env_.options().observe(env_.place(), buffer, micro_batch_, memory.get());
  }
}

/// Runs the operations of a phase, allocating and freeing as the live ranges say. *result: the
/// memory of buffer `kept` after the last operation.
Status StageRunner::run_phase(Instance& instance, Frame& frame, Phase phase, BufferId kept,
                              Memory* result) {
  const Block& block = instance.state.block();
  const std::vector<Op>& ops = block.ops(phase);
  Apply apply(env_, instance.state, frame);
  auto position = static_cast<size_t>(instance.lifetimes->begin(phase));
  for (size_t i = 0; i < ops.size(); ++i, ++position) {
    for (const BufferId id : instance.lifetimes->allocated[position]) {
      frame[static_cast<size_t>(id)] =
          arena_.allocate(block.buffer(id).bytes(), &meters_.activation);
    }
    MESHPLAN_CHECK(apply.run(ops[i]));
    if (phase == Phase::forward && env_.options().observe) show(instance, frame, ops[i]);
    if (i + 1 == ops.size() && kept >= 0) *result = frame[static_cast<size_t>(kept)];
    for (const BufferId id : instance.lifetimes->freed[position]) {
      frame[static_cast<size_t>(id)] = nullptr;
    }
  }
  loss_sum_ += apply.loss_sum();
  if (phase == Phase::forward) routed_.add(apply.routed());
  return Done{};
}

Status StageRunner::give_tokens(Instance& instance, Frame& frame, int64_t micro_batch) {
  const Block& block = instance.state.block();
  const int64_t length = program_.batch.sequence;
  const int64_t share = program_.plan.dp();
  std::vector<int32_t> sequence(static_cast<size_t>(length + 1));
  for (const BufferId id : instance.lifetimes->given) {
    const Buffer& buffer = block.buffer(id);
    Memory& memory = frame[static_cast<size_t>(id)];
    memory = arena_.allocate(buffer.bytes(), &meters_.activation);
    auto* out = reinterpret_cast<int32_t*>(memory.get());
    const size_t ahead = buffer.name == "targets" ? 1 : 0;
    for (int64_t i = 0; i < program_.plan.micro_batch; ++i) {
      const int64_t index =
          (micro_batch * share + env_.place().data) * program_.plan.micro_batch + i;
      MESHPLAN_CHECK(tokens_.read(step_, index, length, sequence.data()));
      for (const int32_t p : env_.token_positions())
        *out++ = sequence[static_cast<size_t>(p) + ahead];
    }
  }
  return Done{};
}

Status StageRunner::forward_block(Instance& instance, Frame& frame, int64_t micro_batch,
                                  Memory* x) {
  const Block& block = instance.state.block();
  frame.assign(block.buffers.size(), nullptr);
  micro_batch_ = micro_batch;
  const int64_t before = meters_.activation.alive;
  const int64_t input = block.input >= 0 ? block.buffer(block.input).bytes() : 0;
  if (block.input >= 0) frame[static_cast<size_t>(block.input)] = std::move(*x);
  *x = nullptr;
  meters_.activation.restart();
  MESHPLAN_CHECK(give_tokens(instance, frame, micro_batch));
  MESHPLAN_CHECK(run_phase(instance, frame, Phase::forward, block.output, x));
  BlockPeaks& peaks = peaks_[static_cast<size_t>(instance.block)];
  peaks.forward = std::max(peaks.forward, meters_.activation.peak - before + input);
  peaks.saved = std::max(peaks.saved, alive(instance, frame));
  return Done{};
}

Status StageRunner::backward_block(Instance& instance, Frame& frame, Memory* gradient) {
  const Block& block = instance.state.block();
  instance.state.open_gradients();
  int64_t others = meters_.activation.alive - alive(instance, frame);
  if (block.output_gradient >= 0) {
    others -= block.buffer(block.output_gradient).bytes();
    frame[static_cast<size_t>(block.output_gradient)] = std::move(*gradient);
  }
  *gradient = nullptr;
  meters_.activation.restart();
  MESHPLAN_CHECK(run_phase(instance, frame, Phase::backward, block.input_gradient, gradient));
  BlockPeaks& peaks = peaks_[static_cast<size_t>(instance.block)];
  peaks.backward = std::max(peaks.backward, meters_.activation.peak - others);
  peaks.held = std::max(peaks.held, alive(instance, frame));
  return Done{};
}

Status StageRunner::weight_block(Instance& instance, Frame& frame) {
  instance.state.open_gradients();
  const int64_t others = meters_.activation.alive - alive(instance, frame);
  meters_.activation.restart();
  MESHPLAN_CHECK(run_phase(instance, frame, Phase::weight, -1, nullptr));
  BlockPeaks& peaks = peaks_[static_cast<size_t>(instance.block)];
  peaks.weight = std::max(peaks.weight, meters_.activation.peak - others);
  return Done{};
}

Status StageRunner::gather(Instance& instance) {
  instance.state.open_weights();
  Frame none;
  Apply apply(env_, instance.state, none);
  for (const Op& op : instance.state.block().ops(Phase::gather)) MESHPLAN_CHECK(apply.run(op));
  return Done{};
}

Status StageRunner::finish_block(Instance& instance, bool last) {
  const Block& block = instance.state.block();
  const bool end = block.input < 0 || block.output < 0;
  if (program_.tied_across_stages && end) return Done{};  // reduce_tied
  if (block.reduce_when == When::each_micro_batch || last) return reduce(instance, last);
  return Done{};
}

Status StageRunner::reduce(Instance& instance, bool last) {
  BlockState& state = instance.state;
  Frame none;
  Apply apply(env_, state, none);
  state.begin_reduce();
  for (const Op& op : state.block().ops(Phase::reduce)) {
    const auto* collective = std::get_if<Collective>(&op.body);
    const bool norms = collective != nullptr && collective->group == Group::tp;
    if (norms && env_.options().fault == Fault::no_norm_reduction) continue;
    MESHPLAN_CHECK(apply.run(op));
  }
  state.end_reduce();
  state.close_gradients();
  if (!last) state.keep_own_share();
  return Done{};
}

/// The two copies of a tied table see each other's gradient before either is reduced.
Status StageRunner::reduce_tied() {
  for (Instance* instance : all_) {
    const Block& block = instance->state.block();
    if (block.input >= 0 && block.output >= 0) continue;
    for (const Parameter& parameter : block.parameters) {
      if (parameter.pieces.front().name != "embed_tokens.weight") continue;
      MESHPLAN_CHECK(env_.group(Group::tied)
                         ->all_reduce(instance->state.at(parameter.gradient),
                                      block.buffer(parameter.gradient).elements()));
    }
    MESHPLAN_CHECK(reduce(*instance, true));
  }
  return Done{};
}

}  // namespace meshplan
