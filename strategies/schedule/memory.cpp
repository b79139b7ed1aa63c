// SPDX-License-Identifier: Apache-2.0
#include "strategies/schedule/memory.hpp"

#include <algorithm>

#include "strategies/schedule/orders.hpp"

namespace meshplan {

namespace {

/// Walks through the rounds of interleaved in runs of one chunk.
class Cursor {
 public:
  explicit Cursor(const Rounds& rounds, int chunks) : rounds_(rounds), chunks_(chunks) { load(); }
  bool done() const { return left_ == 0; }
  int chunk() const { return chunk_; }
  int64_t left() const { return left_; }
  void advance(int64_t count) {
    left_ -= count;
    if (left_ > 0) return;
    if (++chunk_ == chunks_) {
      chunk_ = 0;
      ++round_;
    }
    load();
  }

 private:
  void load() {
    if (round_ < rounds_.first_count)
      left_ = rounds_.first_size;
    else
      left_ = round_ < rounds_.first_count + rounds_.rest_count ? rounds_.rest_size : 0;
  }
  Rounds rounds_;
  int chunks_;
  int chunk_ = 0;
  int64_t round_ = 0;
  int64_t left_ = 0;
};

/// While neither the forwards nor the backwards change their chunk, memory is linear in the number
/// of actions, so its maximum is at the first or last of such a run. Rounds of equal size repeat
/// after the warm-up, which is shorter than two rounds and a pipeline: four of them show all.
int64_t peak_interleaved(const ScheduleShape& shape, int stage,
                         const std::vector<ChunkBytes>& chunks) {
  Rounds rounds = rounds_of(shape);
  const int64_t ahead = warm_up(shape, stage);
  rounds.first_count = std::min<int64_t>(rounds.first_count, 4);
  rounds.rest_count = std::min<int64_t>(rounds.rest_count, 4);
  Cursor forward(rounds, shape.chunks), backward(rounds, shape.chunks);
  int64_t alive = 0, peak = 0, step = 0;
  while (!backward.done()) {
    const bool forwards = !forward.done(), backwards = step >= ahead;
    int64_t run = backwards ? backward.left() : ahead - step;
    if (forwards) run = std::min(run, forward.left());
    const ChunkBytes none;
    const ChunkBytes& in = forwards ? chunks[static_cast<size_t>(forward.chunk())] : none;
    const ChunkBytes& out =
        backwards ? chunks[static_cast<size_t>(shape.chunks - 1 - backward.chunk())] : none;
    const int64_t growth = in.saved - out.saved;
    for (const int64_t before : {alive, alive + (run - 1) * growth}) {
      if (forwards) peak = std::max(peak, before + std::max(in.forward_peak, in.saved));
      if (backwards) peak = std::max(peak, before + in.saved + out.backward_peak);
    }
    alive += run * growth;
    step += run;
    if (forwards) forward.advance(run);
    if (backwards) backward.advance(run);
  }
  return peak;
}

}  // namespace

int64_t peak_saved(const StageSchedule& actions, const std::vector<ChunkBytes>& chunks) {
  int64_t alive = 0, peak = 0;
  for (const Action& action : actions) {
    const ChunkBytes& bytes = chunks[static_cast<size_t>(action.chunk)];
    switch (action.work) {
      case Work::forward:
        peak = std::max(peak, alive + bytes.forward_peak);
        alive += bytes.saved;
        break;
      case Work::backward:
        peak = std::max(peak, alive + bytes.backward_peak);
        alive -= bytes.saved;
        break;
      case Work::input_gradient:
        peak = std::max(peak, alive + bytes.backward_peak);
        alive += bytes.kept_for_weight - bytes.saved;
        break;
      case Work::weight_gradient:
        peak = std::max(peak, alive + bytes.weight_peak);
        alive -= bytes.kept_for_weight;
        break;
    }
    peak = std::max(peak, alive);
  }
  return peak;
}

int64_t peak_saved(const ScheduleShape& shape, int stage, const std::vector<ChunkBytes>& chunks) {
  switch (shape.kind) {
    case ScheduleKind::gpipe:
    case ScheduleKind::one_f_one_b: {
      const int64_t alive = shape.kind == ScheduleKind::gpipe
                                ? shape.micro_batches
                                : std::min<int64_t>(shape.stages - stage, shape.micro_batches);
      const ChunkBytes& bytes = chunks.front();
      return std::max((alive - 1) * bytes.saved + std::max(bytes.forward_peak, bytes.saved),
                      alive * bytes.saved + bytes.backward_peak);
    }
    case ScheduleKind::interleaved:
      return peak_interleaved(shape, stage, chunks);
    case ScheduleKind::zb_h1:
    case ScheduleKind::zb_v:
    case ScheduleKind::dualpipe:
      break;
  }
  // After 4 * stages micro-batches (an even number, as dualpipe needs) the steady part has been
  // seen, and what follows repeats it.
  ScheduleShape filled = shape;
  filled.micro_batches = std::min<int64_t>(shape.micro_batches, int64_t{4} * shape.stages);
  if (shape.kind == ScheduleKind::zb_h1) return peak_saved(orders::zb_h1(filled, stage), chunks);
  if (shape.kind == ScheduleKind::zb_v) return peak_saved(orders::zb_v(filled, stage), chunks);
  return peak_saved(orders::dualpipe(filled, stage), chunks);
}

int64_t largest_temporary(const std::vector<ChunkBytes>& chunks) {
  int64_t bytes = 0;
  for (const ChunkBytes& chunk : chunks) bytes = std::max(bytes, chunk.temporary);
  return bytes;
}

int64_t bytes_on_host(const std::vector<ChunkBytes>& chunks) {
  int64_t bytes = 0;
  for (const ChunkBytes& chunk : chunks) bytes = std::max(bytes, chunk.on_host);
  return bytes;
}

int64_t in_flight(const ScheduleShape& shape, int stage) {
  const ChunkBytes one{.saved = 1, .kept_for_weight = 1};
  return peak_saved(shape, stage, std::vector<ChunkBytes>(static_cast<size_t>(shape.chunks), one));
}

}  // namespace meshplan
