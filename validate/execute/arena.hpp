// SPDX-License-Identifier: Apache-2.0
// How many bytes does a rank hold now, and how many did it hold at most? All buffers of the step
// program come from here; kernels' and communicators' own workspaces do not.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

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

using Memory = std::shared_ptr<float>;

/// Of one rank (one thread). Freed blocks are kept for the next request of their size, since fresh
/// pages cost more than most kernels. Outlived by nothing it gave.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// `bytes` aligned to 64, contents undefined. Counted in total and in *meter until freed.
  Memory allocate(int64_t bytes, Meter* meter);

  Meter total;

 private:
  void release(float* data, int64_t bytes, Meter* meter);
  std::map<int64_t, std::vector<float*>> free_;
};

}  // namespace meshplan
