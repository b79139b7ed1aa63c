// SPDX-License-Identifier: Apache-2.0
// In which order does every pipeline stage work through its micro-batches?
//
// A schedule is one list of actions per stage. The cost model times it, the executor follows it,
// check.hpp proves that it cannot deadlock, memory.hpp says what it keeps alive.
//
//   gpipe        all forwards, then all backwards (Huang et al. 2019)
//   one_f_one_b  1F1B: at most stages - stage micro-batches alive (Narayanan et al. 2021,
//   PipeDream) interleaved  1F1B over several chunks per stage (Narayanan et al. 2021); `group` is
//   N of the
//                Llama 3 report, section 3.3.2: N = stages depth-first, N = micro_batches
//                breadth-first
//   zb_h1        1F1B with the weight gradient deferred, memory of 1F1B (Qi et al. 2023)
//   zb_v         two chunks per stage placed as a V, split backward (Qi et al. 2024)
//   dualpipe     two copies of the model, micro-batches enter at both ends (DeepSeek-V3 report)
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

enum class ScheduleKind : uint8_t { gpipe, one_f_one_b, interleaved, zb_h1, zb_v, dualpipe };
constexpr int kScheduleKinds = 6;

/// "gpipe", "1f1b", "interleaved", "zb-h1", "zb-v", "dualpipe".
const char* name_of(ScheduleKind kind);
/// ErrorKind::usage with the nearest name otherwise.
Result<ScheduleKind> schedule_from(const std::string& text);

/// True if some backwards run as input gradient and weight gradient apart.
constexpr bool splits_backward(ScheduleKind kind) {
  return kind == ScheduleKind::zb_h1 || kind == ScheduleKind::zb_v ||
         kind == ScheduleKind::dualpipe;
}

enum class Work : uint8_t {
  forward,
  backward,        ///< input and weight gradients together
  input_gradient,  ///< what the previous virtual stage waits for
  weight_gradient  ///< needs its input_gradient only
};
const char* name_of(Work work);

struct Action {
  Work work = Work::forward;
  int32_t micro_batch = 0;
  int16_t chunk = 0;
  bool operator==(const Action&) const = default;
};
using StageSchedule = std::vector<Action>;

struct ScheduleShape {
  ScheduleKind kind = ScheduleKind::one_f_one_b;
  int stages = 1;
  int chunks = 1;             ///< per stage; zb_v and dualpipe have 2, gpipe, 1F1B and zb_h1 have 1
  int64_t micro_batches = 1;  ///< per step and rank; dualpipe: of both directions together
  int group = 0;              ///< interleaved: consecutive micro-batches per chunk; 0 = stages
};

/// Can this shape be scheduled? ErrorKind::no_plan with the rule and the nearest shape otherwise.
Status check_shape(const ScheduleShape& shape);

/// Actions of every stage in order, [stage][action]; errors of check_shape.
Result<std::vector<StageSchedule>> make_schedule(const ScheduleShape& shape);

/// Pieces that the model is cut into: stages * chunks; dualpipe holds each of its `stages` twice.
int virtual_stages(const ScheduleShape& shape);

/// Piece of the model held by (stage, chunk). interleaved: chunk * stages + stage. zb_v: chunk 0
/// runs down the stages, chunk 1 comes back up. dualpipe: chunk 1 is the copy for the micro-batches
/// that enter at the last stage, stages - 1 - stage.
int virtual_stage(const ScheduleShape& shape, int stage, int chunk);

/// Which way the micro-batches of a chunk travel: 1 for dualpipe's second copy, else 0.
int direction_of(const ScheduleShape& shape, int chunk);

/// Micro-batches [first, last) that pass through a chunk; dualpipe: one half per direction.
struct MicroBatchRange {
  int64_t first, last;
};
MicroBatchRange micro_batches_of(const ScheduleShape& shape, int chunk);

struct Place {
  int stage, chunk;
  bool operator==(const Place&) const = default;
};
/// Inverse of virtual_stage; `direction` tells dualpipe's two copies apart.
Place place_of(const ScheduleShape& shape, int virtual_stage, int direction = 0);

/// Rounds of interleaved: `first_count` rounds of `first_size` micro-batches per chunk, then
/// `rest_count` of `rest_size` (not larger). A last round with at least `stages` micro-batches
/// stays shorter (Megatron-Core's rule); what is left over otherwise is spread over the rounds,
/// since a round shorter than the pipeline would wait for itself.
struct Rounds {
  int64_t first_count, first_size, rest_count, rest_size;
};
Rounds rounds_of(const ScheduleShape& shape);

/// Forwards before the first backward on a stage, without the one that the backward follows at
/// once. 1F1B: stages - stage - 1; interleaved: 2 (stages - stage - 1) + (chunks - 1) N; both at
/// most what there is. Only for gpipe (all), one_f_one_b, interleaved and zb_h1.
int64_t warm_up(const ScheduleShape& shape, int stage);

}  // namespace meshplan
