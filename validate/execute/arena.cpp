// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/arena.hpp"

#include <fmt/format.h>

namespace meshplan {

void Arena::lie_at(std::byte* base, ArenaLayout layout) {
  base_ = base;
  layout_ = std::move(layout);
}

Result<Memory> Arena::allocate(int64_t bytes, Meter* meter) {
  std::byte* data = nullptr;
  size_t life = 0;
  if (base_ != nullptr) {
    if (next_ == layout_.offset.size()) next_ = layout_.first_step;
    if (next_ >= layout_.offset.size() || layout_.size[next_] != bytes) {
      return Diagnostic{
          .message = fmt::format("a buffer of {} bytes is not the next one of the layout", bytes),
          .rule = "executor.arena"};
    }
    data = base_ + layout_.offset[next_++];
  } else {
    life = lives_.size();
    lives_.push_back({bytes, clock_++, -1});
    static std::byte nowhere{};
    data = &nowhere;
  }
  total.add(bytes);
  meter->add(bytes);
  return Memory(data, [this, bytes, meter, life](std::byte*) {
    total.alive -= bytes;
    meter->alive -= bytes;
    if (base_ == nullptr) lives_[life].end = clock_++;
  });
}

}  // namespace meshplan
