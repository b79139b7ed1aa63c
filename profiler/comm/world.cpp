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

uint64_t World::next_group_id(const std::vector<int>& members, const std::string& label) {
  const int number = made_[{members, label}]++;
  uint64_t hash = 14695981039346656037ULL;  // FNV-1a
  const auto mix = [&](uint64_t x) { hash = (hash ^ x) * 1099511628211ULL; };
  for (const char c : label) mix(static_cast<unsigned char>(c));
  mix(256 + static_cast<uint64_t>(number));
  for (const int member : members) mix(static_cast<uint64_t>(member) + 1);
  return hash;
}

Status guarded_rank(const RankFunction& function, World& world) {
  try {
    return function(world);
  } catch (const std::exception& error) {
    return Diagnostic{.message = error.what()};
  }
}

}  // namespace meshplan
