// SPDX-License-Identifier: Apache-2.0
// Which number has this name? Names are numbered in the order in which they are first seen; the
// text stays where it is, which must outlive the dictionary.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace meshplan::graph {

/// 64 bits that depend on every byte.
uint64_t hash_of(std::string_view name);

class Dictionary {
 public:
  Dictionary() : Dictionary(16) {}
  explicit Dictionary(int64_t expected);

  int32_t size() const { return static_cast<int32_t>(names_.size()); }
  std::string_view name(int32_t id) const { return names_[static_cast<size_t>(id)]; }
  const std::vector<std::string_view>& names() const { return names_; }

  /// Number of the name, which is added if it is new. hash = hash_of(name).
  int32_t add(std::string_view name, uint64_t hash);
  /// -1: not there.
  int32_t find(std::string_view name, uint64_t hash) const;
  /// The cache line that a look-up will read.
  void prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }

 private:
  struct Slot {
    uint64_t hash = 0;
    int32_t id = -1;
  };
  void grow();
  size_t mask_;
  std::vector<Slot> slots_;
  std::vector<std::string_view> names_;
};

}  // namespace meshplan::graph
