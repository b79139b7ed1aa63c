// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/rank_groups.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <string>

namespace meshplan {
namespace {

/// 2, 4, 8, ... below `all`, then `all`; nothing for one.
std::vector<int> sizes_up_to(int all) {
  std::vector<int> sizes;
  for (int n = 2; n < all; n *= 2) sizes.push_back(n);
  if (all > 1) sizes.push_back(all);
  return sizes;
}

}  // namespace

std::vector<RankGroup> groups_to_measure(const std::vector<int>& node_of) {
  std::map<int, std::vector<int>> by_node;
  for (size_t r = 0; r < node_of.size(); ++r) by_node[node_of[r]].push_back(static_cast<int>(r));
  std::vector<RankGroup> groups;
  const std::vector<int>& first = by_node.begin()->second;
  for (const int n : sizes_up_to(static_cast<int>(first.size()))) {
    groups.push_back({{first.begin(), first.begin() + n}, 1});
  }
  for (const int nodes : sizes_up_to(static_cast<int>(by_node.size()))) {
    const auto last = std::next(by_node.begin(), nodes);
    size_t least = first.size();
    for (auto node = by_node.begin(); node != last; ++node) {
      least = std::min(least, node->second.size());
    }
    for (const size_t each : std::set<size_t>{1, least}) {
      RankGroup& group = groups.emplace_back();
      group.nodes = nodes;
      for (auto node = by_node.begin(); node != last; ++node) {
        const std::vector<int>& ranks = node->second;
        const auto end = ranks.begin() + static_cast<std::ptrdiff_t>(each);
        group.members.insert(group.members.end(), ranks.begin(), end);
      }
    }
  }
  return groups;
}

Result<std::vector<int>> nodes_of_ranks(World& world) {
  std::vector<int> everyone(static_cast<size_t>(world.size()));
  std::iota(everyone.begin(), everyone.end(), 0);
  using Name = std::array<char, 256>;
  Name own{};
  ::gethostname(own.data(), own.size() - 1);
  std::vector<Name> names(everyone.size());
  MESHPLAN_TRY(const std::unique_ptr<Communicator> group, world.group(everyone, "nodes"));
  MESHPLAN_CHECK(group->all_gather(own.data(), names.data(), sizeof(Name)));
  std::map<std::string, int> numbers;
  std::vector<int> out;
  out.reserve(names.size());
  for (const Name& name : names) {
    out.push_back(numbers.emplace(name.data(), static_cast<int>(numbers.size())).first->second);
  }
  return out;
}

}  // namespace meshplan
