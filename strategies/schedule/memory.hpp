// SPDX-License-Identifier: Apache-2.0
// How many bytes of activations does a stage hold at the worst moment of its schedule?
#pragma once
#include "strategies/schedule/schedule.hpp"

namespace meshplan {

/// Bytes of one chunk and one micro-batch on this stage. Peaks are above what was alive when the
/// action began, so forward_peak includes what the forward saves, backward_peak does not include
/// what it reads.
struct ChunkBytes {
  int64_t saved = 0;            ///< from the forward to the backward (or input gradient)
  int64_t kept_for_weight = 0;  ///< from the input gradient to the weight gradient
  int64_t forward_peak = 0;
  int64_t backward_peak = 0;  ///< of a backward or an input gradient
  int64_t weight_peak = 0;
  int64_t temporary = 0;  ///< most that one block allocates beyond what it saves
  int64_t on_host = 0;    ///< moved to the host from the forward to the backward; not in saved
};

/// Replays one stage's actions. `chunks`: one entry per chunk of this stage. O(actions).
int64_t peak_saved(const StageSchedule& actions, const std::vector<ChunkBytes>& chunks);

/// The same number from the shape. O(1) for gpipe and 1F1B, O(chunks) for interleaved; the split
/// schedules are replayed with as many micro-batches as it takes to fill them, O(stages).
/// The shape must have passed check_shape.
int64_t peak_saved(const ScheduleShape& shape, int stage, const std::vector<ChunkBytes>& chunks);

/// Largest ChunkBytes::temporary.
int64_t largest_temporary(const std::vector<ChunkBytes>& chunks);

/// Largest ChunkBytes::on_host; such stages have one chunk and one micro-batch in flight.
int64_t bytes_on_host(const std::vector<ChunkBytes>& chunks);

/// Largest number of (chunk, micro-batch) whose activations are alive at once, until the weight
/// gradient where it is split off. 1F1B: min(stages - stage, micro_batches).
int64_t in_flight(const ScheduleShape& shape, int stage);

}  // namespace meshplan
