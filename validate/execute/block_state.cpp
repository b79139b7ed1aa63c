// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/block_state.hpp"

#include <algorithm>
#include <cassert>

namespace meshplan {

BlockState::BlockState(const Program& program, const Block& block, const RankPlace& place,
                       int layer, Device* device, Arena* arena, Meters* meters)
    : block_(&block),
      place_(&place),
      layer_(layer),
      device_(device),
      arena_(arena),
      meters_(meters),
      memory_(block.buffers.size()) {
  for (size_t flat = 0; flat < block.states.size(); ++flat) {
    parts_.push_back(parts_of(program, block, flat, place, layer));
  }
}

Status BlockState::create(const WeightSource* source) {
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
    MESHPLAN_TRY(memory_[i], arena_->allocate(buffer.bytes(), &meters_->states));
    MESHPLAN_CHECK(device_->zero(buffer.bytes(), memory_[i].get()));
  }
  if (source == nullptr) return Done{};
  for (size_t flat = 0; flat < block_->states.size(); ++flat) {
    MESHPLAN_CHECK(fill(flat, *source));
  }
  return Done{};
}

/// In pieces: billions of weights are more than the host need hold at a time.
Status BlockState::fill(size_t flat, const WeightSource& source) {
  constexpr int64_t kPiece = int64_t{1} << 24;
  const FlatState& state = block_->states[flat];
  const bool whole = memory_[static_cast<size_t>(state.weight)] != nullptr;
  const FlatRange own = own_range(state, *place_);
  const FlatRange range = whole ? FlatRange{0, state.elements} : own;
  const Tensor weight = at(whole ? state.weight : state.weight_shard);
  std::vector<float> values;
  for (int64_t begin = range.begin; begin < range.begin + range.count; begin += kPiece) {
    const FlatRange piece{begin, std::min(kPiece, range.begin + range.count - begin)};
    values.assign(static_cast<size_t>(piece.count), 0.0F);
    for (const TensorPart& part : parts_[flat]) {
      MESHPLAN_CHECK(source.fill(part, piece, values.data()));
    }
    const int64_t first = std::max(begin, own.begin);
    const int64_t count = std::min(begin + piece.count, own.begin + own.count) - first;
    const bool kept = state.master >= 0 && count > 0;
    if (kept) {
      const std::span<const float> all(values);
      const Tensor master = at(state.master).from(first - own.begin);
      MESHPLAN_CHECK(
          put(*device_, all.subspan(static_cast<size_t>(first - begin), static_cast<size_t>(count)),
              master));
      if (count == piece.count) {  // the device rounds faster
        MESHPLAN_CHECK(device_->convert(count, master, weight.from(begin - range.begin)));
        continue;
      }
    }
    MESHPLAN_CHECK(put(*device_, values, weight.from(begin - range.begin)));
  }
  return Done{};
}

Tensor BlockState::at(BufferId id) const {
  const Buffer& buffer = block_->buffer(id);
  if (buffer.view_of >= 0) {
    const Tensor whole = at(buffer.view_of);
    if (!buffer.own_shard) return whole.from(buffer.view_offset);
    for (const FlatState& flat : block_->states) {
      if (buffer.view_of == flat.weight || buffer.view_of == flat.gradient) {
        return whole.from(own_range(flat, *place_).begin);
      }
    }
    assert(false);
  }
  if (reducing_) {
    for (const FlatState& flat : block_->states) {
      if (id == flat.gradient_shard) return at(flat.gradient).from(own_range(flat, *place_).begin);
    }
  }
  if (const Memory& memory = memory_[static_cast<size_t>(id)]) return {memory.get(), buffer.dtype};
  for (const Parameter& mine : block_->parameters) {
    if (!mine.tied || (id != mine.weight && id != mine.gradient)) continue;
    const Parameter& theirs = owner_->block_->parameters.front();
    return owner_->at(id == mine.weight ? theirs.weight : theirs.gradient);
  }
  return {nullptr, buffer.dtype};
}

Status BlockState::open(BufferClass kind) {
  const bool gradient = kind == BufferClass::gradient;
  for (size_t i = 0; i < memory_.size(); ++i) {
    const Buffer& buffer = block_->buffers[i];
    if (buffer.kind != kind || !buffer.transient || memory_[i] != nullptr) continue;
    MESHPLAN_TRY(memory_[i],
                 arena_->allocate(buffer.bytes(), gradient ? &meters_->whole : &meters_->gathered));
    if (gradient) MESHPLAN_CHECK(device_->zero(buffer.bytes(), memory_[i].get()));
  }
  return Done{};
}

void BlockState::close(BufferClass kind) {
  for (size_t i = 0; i < memory_.size(); ++i) {
    const Buffer& buffer = block_->buffers[i];
    if (buffer.kind == kind && buffer.transient) memory_[i] = nullptr;
  }
}

Status BlockState::open_weights() {
  MESHPLAN_CHECK(open(BufferClass::parameter));
  for (const FlatState& flat : block_->states) {
    const bool alone = place_->size(flat.shard) == 1;
    if (!alone || !block_->buffer(flat.weight).transient) continue;
    MESHPLAN_CHECK(device_->convert(flat.elements, at(flat.weight_shard), at(flat.weight)));
  }
  return Done{};
}
bool BlockState::weights_open() const {
  for (const FlatState& flat : block_->states) {
    if (memory_[static_cast<size_t>(flat.weight)] == nullptr) return false;
  }
  return true;
}
void BlockState::close_weights() { close(BufferClass::parameter); }

Status BlockState::open_gradients() {
  if (owner_ != nullptr) MESHPLAN_CHECK(owner_->open_gradients());
  return open(BufferClass::gradient);
}

void BlockState::close_gradients() { close(BufferClass::gradient); }

Status BlockState::end_reduce() {
  reducing_ = false;
  for (const FlatState& flat : block_->states) {
    if (!block_->buffer(flat.gradient).transient) continue;
    const FlatRange own = own_range(flat, *place_);
    MESHPLAN_CHECK(
        device_->accumulate(own.count, at(flat.gradient).from(own.begin), at(flat.gradient_shard)));
  }
  return Done{};
}

Status BlockState::keep_own_share() {
  for (const FlatState& flat : block_->states) {
    if (block_->buffer(flat.gradient).transient) continue;
    const FlatRange own = own_range(flat, *place_);
    const int64_t end = own.begin + own.count;
    const Tensor data = at(flat.gradient);
    const float all = 1.0F / static_cast<float>(place_->size(flat.replicate));
    const float partial = all / static_cast<float>(place_->size(Group::tp));
    const int64_t middle = std::clamp(flat.partial_elements, own.begin, end);
    const auto scale = [&](int64_t begin, int64_t stop, float factor) -> Status {
      if (begin >= stop) return Done{};
      if (factor == 0) {
        const int64_t size = bytes_of(data.type);
        return device_->zero((stop - begin) * size, data.from(begin).data);
      }
      return device_->scale(stop - begin, factor, data.from(begin));
    };
    MESHPLAN_CHECK(scale(0, own.begin, 0));
    MESHPLAN_CHECK(scale(own.begin, middle, partial));
    MESHPLAN_CHECK(scale(middle, end, all));
    MESHPLAN_CHECK(scale(end, flat.elements, 0));
  }
  return Done{};
}

Status BlockState::zero_gradients() {
  for (size_t i = 0; i < memory_.size(); ++i) {
    const Buffer& buffer = block_->buffers[i];
    if (buffer.kind != BufferClass::gradient || memory_[i] == nullptr) continue;
    MESHPLAN_CHECK(device_->zero(buffer.bytes(), memory_[i].get()));
  }
  return Done{};
}

}  // namespace meshplan
