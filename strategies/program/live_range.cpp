// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/live_range.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace meshplan {
namespace {

bool is_activation(const Buffer& buffer) {
  return buffer.kind == BufferClass::activation || buffer.kind == BufferClass::input;
}

void touch(LiveRange& range, int position) {
  if (range.first == -2) range.first = position;
  range.last = std::max(range.last, position);
}

void add_states(const Block& block, BlockMemory& memory) {
  std::vector<bool> tied(block.buffers.size(), false);
  for (const Parameter& parameter : block.parameters) {
    if (!parameter.tied) continue;
    tied[static_cast<size_t>(parameter.weight)] = true;
    tied[static_cast<size_t>(parameter.gradient)] = true;
  }
  for (size_t i = 0; i < block.buffers.size(); ++i) {
    const Buffer& buffer = block.buffers[i];
    if (buffer.view_of >= 0 || tied[i]) continue;
    if (buffer.on_host) {
      memory.host += buffer.bytes();
      continue;
    }
    switch (buffer.kind) {
      case BufferClass::parameter:
        (buffer.transient ? memory.gathered : memory.parameters) += buffer.bytes();
        break;
      case BufferClass::gradient:
        (buffer.transient ? memory.whole_gradients : memory.gradients) += buffer.bytes();
        break;
      case BufferClass::optimizer:
        memory.optimizer += buffer.bytes();
        break;
      case BufferClass::activation:
      case BufferClass::input:
        break;
    }
  }
}

/// One expert's weights stand for those of all, which have the same shape.
int64_t each_shape_once(const Block& block) {
  if (block.name == "embedding" || block.name == "head") return 0;
  std::set<std::pair<int64_t, int64_t>> shapes;
  int64_t bytes = 0;
  for (const Parameter& parameter : block.parameters) {
    const Buffer& weight = block.buffer(parameter.weight);
    const int64_t rows = weight.rows / std::max<int64_t>(parameter.experts, 1);
    const bool matrix = rows > 1 && weight.cols > 1;
    if (!matrix || !shapes.insert({rows, weight.cols}).second) continue;
    bytes += rows * weight.cols * bytes_of(weight.dtype);
  }
  return bytes;
}

/// Largest sum of bytes alive at one of the positions [begin, end).
int64_t peak(const std::vector<int64_t>& change, int64_t alive, int begin, int end) {
  int64_t most = alive;
  for (int i = begin; i < end; ++i) {
    alive += change[static_cast<size_t>(i)];
    most = std::max(most, alive);
  }
  return most;
}

/// What the buffer is part of, or itself.
BufferId whole_of(const Block& block, BufferId id) {
  while (block.buffer(id).view_of >= 0) id = block.buffer(id).view_of;
  return id;
}

}  // namespace

std::vector<LiveRange> live_ranges(const Block& block) {
  std::vector<LiveRange> ranges(block.buffers.size());
  const auto at = [&](BufferId id) -> LiveRange& { return ranges[static_cast<size_t>(id)]; };
  if (block.input >= 0) touch(at(block.input), -1);
  const int forward = static_cast<int>(block.ops(Phase::forward).size());
  const int backward = forward + static_cast<int>(block.ops(Phase::backward).size());
  int position = 0;
  for (const Phase phase : {Phase::forward, Phase::backward, Phase::weight}) {
    for (const Op& op : block.ops(phase)) {
      for (const auto* list : {&op.in, &op.out}) {
        for (const BufferId id : *list) {
          if (is_activation(block.buffer(id))) touch(at(whole_of(block, id)), position);
        }
      }
      ++position;
    }
  }
  // Values from outside and values for outside.
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (block.buffers[i].kind == BufferClass::input && ranges[i].first >= 0) ranges[i].first = -1;
  }
  if (block.output >= 0 && forward > 0) touch(at(block.output), forward - 1);
  if (block.output_gradient >= 0) {
    LiveRange& range = at(block.output_gradient);
    range.first = forward;
    range.last = std::max(range.last, forward);
  }
  if (block.input_gradient >= 0 && block.input_gradient != block.output_gradient) {
    touch(at(block.input_gradient), backward - 1);
  }
  return ranges;
}

BlockMemory memory_of(const Block& block) {
  BlockMemory memory;
  add_states(block, memory);
  memory.placeholders = each_shape_once(block);
  const std::vector<LiveRange> ranges = live_ranges(block);
  const int forward = static_cast<int>(block.ops(Phase::forward).size());
  const int backward = forward + static_cast<int>(block.ops(Phase::backward).size());
  const int all = backward + static_cast<int>(block.ops(Phase::weight).size());
  std::vector<int64_t> change(static_cast<size_t>(all) + 1, 0);
  int64_t given = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const LiveRange& range = ranges[i];
    if (range.first == -2) continue;
    const int64_t bytes = block.buffers[i].bytes();
    if (range.first == -1) {
      given += bytes;
    } else {
      change[static_cast<size_t>(range.first)] += bytes;
    }
    change[static_cast<size_t>(range.last) + 1] -= bytes;
    if (range.first < forward && range.last >= forward) memory.saved += bytes;
    if (range.first < backward && range.last >= backward) memory.held += bytes;
  }
  if (block.output >= 0) memory.output = block.buffer(block.output).bytes();
  for (const Buffer& buffer : block.buffers) {
    if (buffer.name == "logits" || buffer.name == "logits.gathered")
      memory.output = std::max(memory.output, buffer.bytes());
  }
  memory.forward_peak = peak(change, given, 0, forward);
  // At position `forward` the change also frees what ended with the forward pass: saved has not
  // counted that, so it is added back.
  int64_t ended = 0, ended_backward = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].first == -2) continue;
    if (ranges[i].last == forward - 1) ended += block.buffers[i].bytes();
    if (ranges[i].last == backward - 1) ended_backward += block.buffers[i].bytes();
  }
  if (forward < backward) {
    change[static_cast<size_t>(forward)] += ended;
    memory.backward_peak = peak(change, memory.saved, forward, backward);
  }
  if (backward < all) {
    change[static_cast<size_t>(backward)] += ended_backward;
    memory.weight_peak = peak(change, memory.held, backward, all);
  }
  return memory;
}

}  // namespace meshplan
