// SPDX-License-Identifier: Apache-2.0
// Which values does each axis of a plan take in a search?
#pragma once
#include <cstdint>
#include <vector>

#include "planner/search/search.hpp"

namespace meshplan {

std::vector<int64_t> divisors(int64_t n);

/// What one pass over a layer depends on. The first level of the search.
struct PassChoice {
  int tp = 1;
  bool sequence_parallel = true;
  int cp = 1;
  ContextParallel cp_kind = ContextParallel::all_gather;
  int ep = 1, etp = 1;
};
std::vector<PassChoice> pass_choices(const SearchQuestion& question);

/// What runs again. The second level.
std::vector<RecomputeChoice> recompute_choices(const SearchQuestion& question);

/// Stages and their schedule. The third level; depends on the micro-batches.
struct ScheduleChoice {
  ScheduleKind kind = ScheduleKind::one_f_one_b;
  int vpp = 1;
  int group = 0;
};
std::vector<ScheduleChoice> schedule_choices(const SearchQuestion& question, int pp,
                                             int64_t micro_batches);

/// How parameters and states are laid out over dp x cp ranks, in dp copies at most. The last level.
struct StateChoice {
  int zero = 0;
  bool reshard = true;
  int replicate = 1;
  bool offload = false;
};
std::vector<StateChoice> state_choices(const SearchQuestion& question, int dp, int cp);

/// Micro-batch sizes: powers of two that divide the sequences of one rank.
std::vector<int> micro_batch_choices(const SearchQuestion& question, int64_t sequences_per_rank);

}  // namespace meshplan
