// SPDX-License-Identifier: Apache-2.0
// Where does each buffer of a rank lie, how many bytes does the rank hold now, and how many did it
// hold at most? All buffers of the step program come from here; kernels' and communicators' own
// workspaces do not.
//
// A rank allocates and frees in the same order in every step. So one walk without a device records
// that order (arena_layout.hpp), every buffer is given a fixed place in one piece of memory, and
// the run then only counts: its n-th buffer lies at the n-th place. Nothing is ever fragmented, and
// addresses are the same in every step.
#pragma once
#include <cstdint>
#include <vector>

#include "validate/execute/device.hpp"

namespace meshplan {

/// Sum and highest sum of what is alive.
struct Meter {
  int64_t alive = 0, peak = 0;
  void add(int64_t bytes) {
    alive += bytes;
    if (alive > peak) peak = alive;
  }
  void restart() { peak = alive; }  ///< of the peak
};

/// A buffer's life, in allocations and frees counted from the start: [begin, end).
struct Life {
  int64_t bytes = 0;
  int64_t begin = 0, end = -1;  ///< -1: never freed
};

/// Places of the buffers in the order of their allocation.
struct ArenaLayout {
  int64_t bytes = 0;      ///< of the whole piece
  size_t first_step = 0;  ///< places from here on are of one step, and return in every step
  std::vector<int64_t> offset, size;
};

/// Of one rank (one thread). Outlived by nothing it gave.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// From now on memory is `base`, as laid out; before, addresses are no memory.
  void lie_at(std::byte* base, ArenaLayout layout);

  /// Contents undefined. Counted in total and in *meter until freed.
  /// Error (internal): not the order of the layout.
  Result<Memory> allocate(int64_t bytes, Meter* meter);

  const std::vector<Life>& lives() const { return lives_; }  ///< without a layout
  Meter total;

 private:
  std::byte* base_ = nullptr;
  ArenaLayout layout_;
  size_t next_ = 0;  ///< place
  std::vector<Life> lives_;
  int64_t clock_ = 0;
};

}  // namespace meshplan
