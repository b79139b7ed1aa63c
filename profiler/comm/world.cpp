// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace meshplan {

Result<int> World::place_in_group(const std::vector<int>& members, const std::string& label) const {
  const auto own = std::find(members.begin(), members.end(), rank());
  const std::set<int> distinct(members.begin(), members.end());
  if (own == members.end() || distinct.size() != members.size() || *distinct.begin() < 0 ||
      *distinct.rbegin() >= size()) {
    return Diagnostic{.message = fmt::format("rank {}: [{}] is no group of {} ranks with it",
                                             rank(), fmt::join(members, " "), size()),
                      .where = "group " + label};
  }
  return static_cast<int>(own - members.begin());
}

Status guarded_rank(const RankFunction& function, World& world) {
  try {
    return function(world);
  } catch (const std::exception& error) {
    return Diagnostic{.message = error.what()};
  }
}

}  // namespace meshplan
