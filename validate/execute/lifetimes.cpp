// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/lifetimes.hpp"

namespace meshplan {

Lifetimes::Lifetimes(const Block& block)
    : forward_count(static_cast<int>(block.ops(Phase::forward).size())),
      backward_count(static_cast<int>(block.ops(Phase::backward).size())),
      weight_count(static_cast<int>(block.ops(Phase::weight).size())) {
  const size_t all = block.ops(Phase::forward).size() + block.ops(Phase::backward).size() +
                     block.ops(Phase::weight).size();
  allocated.resize(all);
  freed.resize(all);
  const std::vector<LiveRange> ranges = live_ranges(block);
  for (size_t i = 0; i < ranges.size(); ++i) {
    const LiveRange& range = ranges[i];
    const auto id = static_cast<BufferId>(i);
    if (range.first == -2) continue;
    if (range.last >= 0) freed[static_cast<size_t>(range.last)].push_back(id);
    if (id == block.input || id == block.output_gradient) continue;  // handed in
    if (range.first >= 0) {
      allocated[static_cast<size_t>(range.first)].push_back(id);
    } else {
      given.push_back(id);
    }
  }
}

int Lifetimes::begin(Phase phase) const {
  switch (phase) {
    case Phase::backward:
      return forward_count;
    case Phase::weight:
      return forward_count + backward_count;
    case Phase::gather:
    case Phase::forward:
    case Phase::reduce:
    case Phase::update:
      break;
  }
  return 0;
}

}  // namespace meshplan
