// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/in_flight.hpp"

#include "validate/execute/block_state.hpp"

namespace meshplan {

InFlight::Range InFlight::range_of(BufferId id, const OpSite& site) {
  return {site.tensor(id).data, site.state.block().buffer(id).bytes()};
}

Status InFlight::start(const Collective& collective, const Op& op, const OpSite& site) {
  MESHPLAN_TRY(Pending pending, start_if_plain(collective, op, site));
  if (!pending.started()) return run_collective(collective, op, site);
  list_.push_back({std::move(pending), range_of(op.in[0], site), range_of(op.out[0], site)});
  return Done{};
}

Status InFlight::before(const Op& op, const OpSite& site) {
  size_t needed = 0;
  for (size_t i = 0; i < list_.size(); ++i) {
    const auto meets = [&](BufferId id, bool writes) {
      const Range range = range_of(id, site);
      return range.meets(list_[i].written) || (writes && range.meets(list_[i].read));
    };
    for (const BufferId id : op.in) needed = meets(id, false) ? i + 1 : needed;
    for (const BufferId id : op.out) needed = meets(id, true) ? i + 1 : needed;
  }
  return finish(needed);
}

Status InFlight::finish() { return finish(list_.size()); }

Status InFlight::finish(size_t count) {
  for (; count > 0; --count) {
    Pending pending = std::move(list_.front().pending);
    list_.pop_front();
    MESHPLAN_CHECK(pending.wait());
  }
  return Done{};
}

}  // namespace meshplan
