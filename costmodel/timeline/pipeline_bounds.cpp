// SPDX-License-Identifier: Apache-2.0
// Closed forms. Every one is the length of a path through the schedule's dependencies, so none can
// exceed the execution.
#include <algorithm>

#include "costmodel/timeline/pipeline_time.hpp"

namespace meshplan {

namespace {

/// What one stage does in a step.
struct Load {
  double work = 0;  ///< all its actions, blocking sends, gathers
  double per_micro_batch = 0;
  double last_reduce = 0;
};

double backward_of(ScheduleKind kind, const ChunkTimes& times) {
  const double split = times.input_gradient + times.weight_gradient;
  switch (kind) {
    case ScheduleKind::gpipe:
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::interleaved:
      return times.backward;
    case ScheduleKind::zb_h1:
    case ScheduleKind::zb_v:
      return split;
    case ScheduleKind::dualpipe:
      return std::min(split, times.backward);
  }
  return 0;
}

/// Transfers that a chunk sends to other stages per micro-batch.
int sends_of(const ScheduleShape& shape, int stage, int chunk) {
  const int piece = virtual_stage(shape, stage, chunk);
  const int direction = direction_of(shape, chunk);
  int count = 0;
  if (piece > 0 && place_of(shape, piece - 1, direction).stage != stage) ++count;
  if (piece + 1 < virtual_stages(shape) && place_of(shape, piece + 1, direction).stage != stage)
    ++count;
  return count;
}

/// Seconds that a stage stands still at each boundary, in one direction of a micro-batch.
double stands_s(const PipelineInput& input) {
  if (input.p2p_overlapped) return 0;
  return input.p2p_s * (input.p2p_in_line ? 2 : 1);
}

/// A stage that receives in line has the transfer in its own work already.
double received_s(const PipelineInput& input) {
  return input.p2p_in_line && !input.p2p_overlapped ? input.p2p_s : 0;
}

Load load_of(const PipelineInput& input, int stage) {
  const ScheduleShape& shape = input.shape;
  Load load;
  for (int chunk = 0; chunk < shape.chunks; ++chunk) {
    const size_t at = input.at(stage, chunk);
    const MicroBatchRange range = micro_batches_of(shape, chunk);
    double each = input.times[at].forward + backward_of(shape.kind, input.times[at]);
    each += stands_s(input) * sends_of(shape, stage, chunk);
    load.per_micro_batch += each;
    load.work += each * static_cast<double>(range.last - range.first);
    if (!input.first_forward_s.empty()) load.work += input.first_forward_s[at];
    if (!input.last_backward_s.empty()) load.last_reduce += input.last_backward_s[at];
  }
  return load;
}

/// Way of the first micro-batch of `chunk` to a stage, first forwards of earlier stages on it.
double way_to(const PipelineInput& input, int stage, int chunk) {
  const ScheduleShape& shape = input.shape;
  const int piece = virtual_stage(shape, stage, chunk);
  double way = 0;
  for (int i = 0; i < piece; ++i) {
    const Place place = place_of(shape, i, direction_of(shape, chunk));
    const size_t at = input.at(place.stage, place.chunk);
    way += input.times[at].forward + input.p2p_s;
    if (!input.first_forward_s.empty()) way += input.first_forward_s[at];
  }
  return piece > 0 ? way - received_s(input) : way;
}

/// One micro-batch of direction 0 through all virtual stages and back.
double chain_of(const PipelineInput& input) {
  const ScheduleShape& shape = input.shape;
  const bool split = shape.kind == ScheduleKind::zb_h1 || shape.kind == ScheduleKind::zb_v;
  const bool either = shape.kind == ScheduleKind::dualpipe;
  double chain = 0;
  for (int stage = 0; stage < shape.stages; ++stage)
    for (int chunk = 0; chunk < (either ? 1 : shape.chunks); ++chunk) {
      const ChunkTimes& times = input.times[input.at(stage, chunk)];
      chain += times.forward;
      chain += either  ? std::min(times.input_gradient, times.backward)
               : split ? times.input_gradient
                       : times.backward;
      chain += input.p2p_s * sends_of(shape, stage, chunk);
    }
  return chain;
}

}  // namespace

double pipeline_lower_bound(const PipelineInput& input) {
  const ScheduleShape& shape = input.shape;
  const auto chunks = static_cast<size_t>(shape.chunks);
  const bool dual = shape.kind == ScheduleKind::dualpipe;
  const bool split = splits_backward(shape.kind);
  double bound = chain_of(input), way = 0, back = 0;
  double largest = 0, round_trip = 0;
  for (int stage = 0; stage < shape.stages; ++stage) {
    const auto at = static_cast<size_t>(stage) * chunks;
    const Load load = load_of(input, stage);
    if (dual) way = std::min(way_to(input, stage, 0), way_to(input, stage, 1));
    const double start = dual || stage == 0 ? way : way - received_s(input);
    bound = std::max(bound, start + load.work + load.last_reduce);
    // Whole backwards end with chunk 0, whose gradient still has to travel to the first stage; a
    // blocking send of it is already part of the work.
    if (!split) {
      const double sent = input.p2p_overlapped || stage == 0 ? 0 : input.p2p_s;
      bound = std::max(bound, start + load.work + back - sent);
    }
    const ChunkTimes& times = input.times[at];
    way += times.forward + input.p2p_s;
    if (!input.first_forward_s.empty()) way += input.first_forward_s[at];
    back += times.backward + input.p2p_s;
    largest = std::max(largest, load.per_micro_batch);
    round_trip += times.forward + times.backward;
  }
  if (shape.kind == ScheduleKind::one_f_one_b) {
    // Forward through all stages, backward through all, then the first stage may start the forward
    // `stages` micro-batches later.
    round_trip += 2 * input.p2p_s * (shape.stages - 1);
    const int64_t trips = (shape.micro_batches - 1) / shape.stages;
    const int64_t left = (shape.micro_batches - 1) % shape.stages;
    const double rest = trips > 0 ? static_cast<double>(left) * largest : 0;
    bound = std::max(bound, static_cast<double>(trips + 1) * round_trip + rest);
  }
  // Rounding: the same sum in another order must not come out above the simulated one.
  return bound * (1 - 1e-12);
}

}  // namespace meshplan
