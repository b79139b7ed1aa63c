// SPDX-License-Identifier: Apache-2.0
// Which collectives of a pass over a layer are under way, and which operation has to wait for them?
#pragma once
#include <deque>

#include "validate/execute/collective.hpp"

namespace meshplan {

/// Told by addresses, so that memory which a later buffer takes over is guarded, too.
class InFlight {
 public:
  Status start(const Collective& collective, const Op& op, const OpSite& site);
  /// Waits, in the order of their starts, up to the last collective whose operands `op` touches: a
  /// result that it reads, or anything that it overwrites.
  Status before(const Op& op, const OpSite& site);
  /// Waits for all.
  Status finish();

 private:
  struct Range {
    const std::byte* begin;
    int64_t bytes;
    bool meets(const Range& other) const {
      return begin < other.begin + other.bytes && other.begin < begin + bytes;
    }
  };
  struct One {
    Pending pending;
    Range read, written;
  };
  static Range range_of(BufferId id, const OpSite& site);
  Status finish(size_t count);  ///< the first ones

  std::deque<One> list_;
};

}  // namespace meshplan
