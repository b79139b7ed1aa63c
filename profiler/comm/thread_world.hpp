// SPDX-License-Identifier: Apache-2.0
// Ranks as threads of this process with a communicator over shared memory: the default back end,
// which needs nothing installed.
#pragma once
#include "profiler/comm/world.hpp"

namespace meshplan {

/// Runs `rank` on `ranks` threads and returns when all have finished: Done, or the error of the
/// lowest rank that failed by itself (not because another one did). Exceptions are errors of their
/// rank. A rank that neither communicates nor returns can't be stopped: after some time-outs it is
/// left running and named in the error; the caller should then end the process, because the thread
/// still uses what `rank` refers to.
Status run_ranks(int ranks, const WorldOptions& options, const RankFunction& rank);

}  // namespace meshplan
