// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/block_state.hpp"

#include <algorithm>
#include <cassert>

namespace meshplan {

BlockState::BlockState(const Program& program, const Block& block, const RankPlace& place,
                       int layer, Arena* arena, Meters* meters)
    : block_(&block),
      place_(&place),
      layer_(layer),
      arena_(arena),
      meters_(meters),
      memory_(block.buffers.size()) {
  for (size_t flat = 0; flat < block.states.size(); ++flat) {
    parts_.push_back(parts_of(program, block, flat, place, layer));
  }
}

Status BlockState::create(const WeightSource& source) {
  std::vector<bool> tied(memory_.size(), false);
  for (const Parameter& parameter : block_->parameters) {
    if (!parameter.tied) continue;
    tied[static_cast<size_t>(parameter.weight)] = true;
    tied[static_cast<size_t>(parameter.gradient)] = true;
  }
  for (size_t i = 0; i < memory_.size(); ++i) {
    const Buffer& buffer = block_->buffers[i];
    const bool state = buffer.kind != BufferClass::activation && buffer.kind != BufferClass::input;
    if (!state || buffer.view_of >= 0 || buffer.transient || tied[i]) continue;
    memory_[i] = arena_->allocate(buffer.bytes(), &meters_->states);
    std::fill_n(memory_[i].get(), buffer.elements(), 0.0F);
  }
  for (size_t flat = 0; flat < block_->states.size(); ++flat) {
    const FlatState& state = block_->states[flat];
    const bool whole = memory_[static_cast<size_t>(state.weight)] != nullptr;
    const FlatRange range = whole ? FlatRange{0, state.elements} : own_range(state, *place_);
    float* data = at(whole ? state.weight : state.weight_shard);
    for (const TensorPart& part : parts_[flat]) MESHPLAN_CHECK(source.fill(part, range, data));
  }
  return Done{};
}

float* BlockState::at(BufferId id) const {
  const Buffer& buffer = block_->buffer(id);
  if (buffer.view_of >= 0) {
    float* whole = at(buffer.view_of);
    if (!buffer.own_shard) return whole + buffer.view_offset;
    for (const FlatState& flat : block_->states) {
      if (buffer.view_of == flat.weight || buffer.view_of == flat.gradient) {
        return whole + own_range(flat, *place_).begin;
      }
    }
    assert(false);
  }
  if (reducing_) {
    for (const FlatState& flat : block_->states) {
      if (id == flat.gradient_shard) return at(flat.gradient) + own_range(flat, *place_).begin;
    }
  }
  if (const Memory& memory = memory_[static_cast<size_t>(id)]) return memory.get();
  for (const Parameter& mine : block_->parameters) {
    if (!mine.tied || (id != mine.weight && id != mine.gradient)) continue;
    const Parameter& theirs = owner_->block_->parameters.front();
    return owner_->at(id == mine.weight ? theirs.weight : theirs.gradient);
  }
  return nullptr;
}

void BlockState::set_transient(BufferClass kind, bool open) {
  for (size_t i = 0; i < memory_.size(); ++i) {
    const Buffer& buffer = block_->buffers[i];
    if (buffer.kind != kind || !buffer.transient || (memory_[i] != nullptr) == open) continue;
    if (!open) {
      memory_[i] = nullptr;
      continue;
    }
    const bool gradient = kind == BufferClass::gradient;
    memory_[i] = arena_->allocate(buffer.bytes(), gradient ? &meters_->whole : &meters_->gathered);
    if (gradient) std::fill_n(memory_[i].get(), buffer.elements(), 0.0F);
  }
}

void BlockState::open_weights() {
  set_transient(BufferClass::parameter, true);
  for (const FlatState& flat : block_->states) {
    const bool alone = place_->size(flat.shard) == 1;
    if (!alone || !block_->buffer(flat.weight).transient) continue;
    std::copy_n(at(flat.weight_shard), flat.elements, at(flat.weight));
  }
}
bool BlockState::weights_open() const {
  for (const FlatState& flat : block_->states) {
    if (memory_[static_cast<size_t>(flat.weight)] == nullptr) return false;
  }
  return true;
}
void BlockState::close_weights() { set_transient(BufferClass::parameter, false); }

void BlockState::open_gradients() {
  if (owner_ != nullptr) owner_->open_gradients();
  set_transient(BufferClass::gradient, true);
}

void BlockState::close_gradients() { set_transient(BufferClass::gradient, false); }

void BlockState::end_reduce() {
  reducing_ = false;
  for (const FlatState& flat : block_->states) {
    if (!block_->buffer(flat.gradient).transient) continue;
    const FlatRange own = own_range(flat, *place_);
    const float* fresh = at(flat.gradient) + own.begin;
    float* sum = at(flat.gradient_shard);
    for (int64_t i = 0; i < own.count; ++i) sum[i] += fresh[i];
  }
}

void BlockState::keep_own_share() {
  for (const FlatState& flat : block_->states) {
    if (block_->buffer(flat.gradient).transient) continue;
    const FlatRange own = own_range(flat, *place_);
    float* data = at(flat.gradient);
    const float all = 1.0F / static_cast<float>(place_->size(flat.replicate));
    const float partial = all / static_cast<float>(place_->size(Group::tp));
    for (int64_t i = 0; i < flat.elements; ++i) {
      const bool mine = i >= own.begin && i < own.begin + own.count;
      data[i] *= mine ? (i < flat.partial_elements ? partial : all) : 0.0F;
    }
  }
}

void BlockState::zero_gradients() {
  for (size_t i = 0; i < memory_.size(); ++i) {
    const Buffer& buffer = block_->buffers[i];
    if (buffer.kind != BufferClass::gradient || memory_[i] == nullptr) continue;
    std::fill_n(memory_[i].get(), buffer.elements(), 0.0F);
  }
}

}  // namespace meshplan
