// SPDX-License-Identifier: Apache-2.0
// How do buffers with known lives lie in one piece of memory that is little larger than the sum of
// what is alive at once?
#pragma once
#include <span>

#include "validate/execute/arena.hpp"
#include "validate/execute/run_options.hpp"

namespace meshplan {

/// Largest first, each at the lowest place that is free during its life: the greedy of Pisarchyk
/// and Lee 2020, section 4.2. Places are multiples of kMemoryAlignment.
/// lives: of the states, which stay, then from `first_step` on those of one step.
ArenaLayout lay_out(std::span<const Life> lives, size_t first_step);

/// The layout of one rank of a program: a walk through its first step that computes nothing and
/// communicates with nobody.
Result<ArenaLayout> lay_out_rank(const Program& program, const RunOptions& options, int rank);

}  // namespace meshplan
