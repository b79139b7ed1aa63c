// SPDX-License-Identifier: Apache-2.0
// How much of the parameter gathering and gradient reduction hides behind the blocks' own work?
//
// One compute stream, and one stream for the data-parallel collectives in the order of issue (Zhao
// et al. 2023, section 3.3): a gather may run `prefetch` units ahead of the unit that is computed,
// a reduction follows its unit.
#pragma once
#include <cstdint>
#include <vector>

namespace meshplan {

/// `count` equal blocks in the order in which the pass visits them; seconds each.
struct ChainRun {
  int64_t count = 1;
  double compute = 0;
  double gather = 0;
  double reduce = 0;
};

struct ChainTime {
  double wall = 0;
  double compute = 0;
  double network = 0;
  double hidden() const { return compute + network - wall; }  ///< seconds that overlap
  double exposed() const { return wall - compute; }
};

struct ChainRules {
  int prefetch = 1;            ///< units gathered ahead; 0: each gather waits for the unit before
  bool overlap_gather = true;  ///< else all gathers come first
  bool overlap_reduce = true;  ///< else all reductions come last
};

ChainTime chain_time(const std::vector<ChainRun>& runs, const ChainRules& rules);

}  // namespace meshplan
