// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/chain.hpp"

#include <algorithm>

namespace meshplan {

ChainTime chain_time(const std::vector<ChainRun>& runs, const ChainRules& rules) {
  ChainTime total;
  double gathers = 0, reductions = 0;
  int64_t units = 0;
  for (const ChainRun& run : runs) {
    const auto n = static_cast<double>(run.count);
    total.compute += n * run.compute;
    gathers += n * run.gather;
    reductions += n * run.reduce;
    units += run.count;
  }
  total.network = gathers + reductions;
  if (total.network == 0) {
    total.wall = total.compute;
    return total;
  }
  std::vector<const ChainRun*> order;  // unit by unit
  order.reserve(static_cast<size_t>(units));
  for (const ChainRun& run : runs) order.insert(order.end(), static_cast<size_t>(run.count), &run);
  double clock = rules.overlap_gather ? 0 : gathers;
  double stream = clock;
  std::vector<double> gathered(order.size(), clock);
  size_t issued = 0;
  const auto issue_to = [&](size_t end, double at) {
    for (; rules.overlap_gather && issued < std::min(end, order.size()); ++issued) {
      if (order[issued]->gather > 0) stream = std::max(stream, at) + order[issued]->gather;
      gathered[issued] = stream;
    }
  };
  const auto prefetch = static_cast<size_t>(std::max(0, rules.prefetch));
  for (size_t unit = 0; unit < order.size(); ++unit) {
    issue_to(unit + 1, clock);
    clock = std::max(clock, order[unit]->gather > 0 ? gathered[unit] : clock);
    issue_to(unit + 1 + prefetch, clock);  // when this unit starts
    clock += order[unit]->compute;
    if (rules.overlap_reduce && order[unit]->reduce > 0) {
      stream = std::max(stream, clock) + order[unit]->reduce;
    }
  }
  total.wall = std::max(clock, rules.overlap_reduce ? stream : clock);
  if (!rules.overlap_reduce) total.wall += reductions;
  return total;
}

}  // namespace meshplan
