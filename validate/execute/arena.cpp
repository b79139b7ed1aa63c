// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/arena.hpp"

#include <new>

namespace meshplan {
namespace {
constexpr std::align_val_t kAlignment{64};
}

Arena::~Arena() {
  for (auto& [bytes, blocks] : free_) {
    for (float* block : blocks) ::operator delete(block, kAlignment);
  }
}

Memory Arena::allocate(int64_t bytes, Meter* meter) {
  std::vector<float*>& blocks = free_[bytes];
  float* data = nullptr;
  if (blocks.empty()) {
    data = static_cast<float*>(::operator new(static_cast<size_t>(bytes), kAlignment));
  } else {
    data = blocks.back();
    blocks.pop_back();
  }
  total.add(bytes);
  meter->add(bytes);
  return {data, [this, bytes, meter](float* block) { release(block, bytes, meter); }};
}

void Arena::release(float* data, int64_t bytes, Meter* meter) {
  total.alive -= bytes;
  meter->alive -= bytes;
  free_[bytes].push_back(data);
}

}  // namespace meshplan
