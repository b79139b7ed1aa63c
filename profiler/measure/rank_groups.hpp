// SPDX-License-Identifier: Apache-2.0
// Which groups of ranks stand for all group sizes and levels of links that a machine has?
#pragma once
#include <vector>

#include "profiler/comm/world.hpp"

namespace meshplan {

struct RankGroup {
  std::vector<int> members;
  int nodes = 1;  ///< that they are spread over, equally
};

/// node_of: a number for the computer of every rank. Inside the first node its first 2, 4, ... and
/// all ranks; between nodes one rank of each of 2, 4, ... and all nodes, and as many ranks of each
/// as the emptiest of them has.
std::vector<RankGroup> groups_to_measure(const std::vector<int>& node_of);

/// Numbers of the ranks' computers, in the order of their first ranks. Collective over the world,
/// whose communicators carry host memory.
Result<std::vector<int>> nodes_of_ranks(World& world);

}  // namespace meshplan
