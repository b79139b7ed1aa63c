// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/dictionary.hpp"

#include <bit>
#include <cstring>

namespace meshplan::graph {

uint64_t hash_of(std::string_view name) {
  // Multiply and fold eight bytes at a time; both halves of each product are kept.
  const auto mix = [](uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  uint64_t hash = 0x9E3779B97F4A7C15ULL ^ name.size();
  const char* at = name.data();
  size_t left = name.size();
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = mix(hash ^ word, 0xD6E8FEB86659FD93ULL);
  }
  uint64_t word = 0;
  std::memcpy(&word, at, left);
  return mix(hash ^ word, 0xA0761D6478BD642FULL);
}

Dictionary::Dictionary(int64_t expected)
    : mask_(std::bit_ceil(static_cast<size_t>(expected < 8 ? 16 : 2 * expected)) - 1),
      slots_(mask_ + 1) {}

int32_t Dictionary::find(std::string_view name, uint64_t hash) const {
  for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
    const Slot& slot = slots_[at];
    if (slot.id < 0) return -1;
    if (slot.hash == hash && names_[static_cast<size_t>(slot.id)] == name) return slot.id;
  }
}

int32_t Dictionary::add(std::string_view name, uint64_t hash) {
  for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
    Slot& slot = slots_[at];
    if (slot.id >= 0) {
      if (slot.hash == hash && names_[static_cast<size_t>(slot.id)] == name) return slot.id;
      continue;
    }
    const auto id = static_cast<int32_t>(names_.size());
    slot = {hash, id};
    names_.push_back(name);
    if (2 * names_.size() > slots_.size()) grow();
    return id;
  }
}

void Dictionary::grow() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  mask_ = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t at = slot.hash & mask_;
    while (slots_[at].id >= 0) at = (at + 1) & mask_;
    slots_[at] = slot;
  }
}

}  // namespace meshplan::graph
