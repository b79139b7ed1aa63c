// SPDX-License-Identifier: Apache-2.0
// zb-h1, zb-v and dualpipe: the weight gradient is deferred to fill bubbles.
#include <algorithm>
#include <array>
#include <deque>

#include "strategies/schedule/orders.hpp"

namespace meshplan::orders {

namespace {

/// Appends actions and numbers the micro-batches of each chunk in the order they come.
class Writer {
 public:
  explicit Writer(const ScheduleShape& shape) {
    for (int chunk = 0; chunk < shape.chunks; ++chunk) {
      const auto first = static_cast<int32_t>(micro_batches_of(shape, chunk).first);
      auto& next = next_[static_cast<size_t>(chunk)];
      next = {first, first, first};
    }
  }
  void forward(int chunk) { list_.push_back(take(Work::forward, chunk, 0)); }
  void whole_backward(int chunk) { list_.push_back(take(Work::backward, chunk, 1)); }
  /// Input gradient; its weight gradient joins the queue.
  void input(int chunk) {
    list_.push_back(take(Work::input_gradient, chunk, 1));
    Action later = list_.back();
    later.work = Work::weight_gradient;
    queue_.push_back(later);
  }
  /// Oldest weight gradient of the queue, of any chunk.
  void weight() {
    list_.push_back(queue_.front());
    queue_.pop_front();
  }
  /// Oldest weight gradient of one chunk.
  void weight(int chunk) {
    const auto found = std::find_if(queue_.begin(), queue_.end(),
                                    [&](const Action& action) { return action.chunk == chunk; });
    list_.push_back(*found);
    queue_.erase(found);
  }
  int64_t waiting(int chunk) const {
    return std::count_if(queue_.begin(), queue_.end(),
                         [&](const Action& action) { return action.chunk == chunk; });
  }
  StageSchedule done() { return std::move(list_); }

 private:
  Action take(Work work, int chunk, size_t pass) {
    return {work, next_[static_cast<size_t>(chunk)][pass]++, static_cast<int16_t>(chunk)};
  }
  StageSchedule list_;
  std::deque<Action> queue_;
  std::array<std::array<int32_t, 3>, 2> next_{};
};

}  // namespace

// Qi et al. 2023, section 2.2: 1F1B, where stage s starts its weight gradients s micro-batches
// late, so that every stage has as many micro-batches in flight as the first one has anyway.
StageSchedule zb_h1(const ScheduleShape& shape, int stage) {
  Writer writer(shape);
  const int64_t m = shape.micro_batches;
  const int64_t ahead = warm_up(shape, stage);
  for (int64_t i = 0; i < m + ahead; ++i) {
    if (i < m) writer.forward(0);
    if (i < ahead) continue;
    writer.input(0);
    if (i - ahead >= stage) writer.weight();
  }
  while (writer.waiting(0) > 0) writer.weight();
  return writer.done();
}

// Qi et al. 2024, "Pipeline Parallelism with Controllable Memory", the V schedule with 1F1B's
// memory: the last stage turns a micro-batch around by itself, and every chunk is alive for the
// same time. With fewer than 2 stages - 1 micro-batches it is the longer schedule without the ones
// too many.
StageSchedule zb_v(const ScheduleShape& shape, int stage) {
  const int64_t below = shape.stages - stage;
  const int64_t m = std::max<int64_t>(shape.micro_batches, 2 * shape.stages - 1);
  Writer writer(shape);
  int64_t down = 0, up = 0;  // forwards done of chunk 0 and chunk 1
  for (; down < 2 * below - 1; ++down) writer.forward(0);
  for (; up < stage; ++up, ++down) {
    writer.forward(1);
    writer.forward(0);
  }
  for (int64_t i = 0; i < below; ++i, ++up) {
    writer.forward(1);
    writer.input(1);
    writer.weight(1);
  }
  while (up < m) {
    if (down < m) {
      writer.forward(0);
      ++down;
    }
    writer.input(0);
    writer.weight(0);
    writer.forward(1);
    ++up;
    writer.input(1);
    writer.weight(1);
  }
  for (int64_t i = 0; i < stage; ++i) {
    writer.input(0);
    writer.input(1);
  }
  for (int64_t i = 0; i < below; ++i) {
    writer.input(0);
    writer.weight(0);
  }
  while (writer.waiting(1) > 0) writer.weight(1);
  while (writer.waiting(0) > 0) writer.weight(0);
  StageSchedule list = writer.done();
  std::erase_if(list, [&](const Action& a) { return a.micro_batch >= shape.micro_batches; });
  return list;
}

// DeepSeek-V3 report, section 3.2.1 and figure 5. `near` is the chunk whose micro-batches enter at
// this stage's end of the pipeline. In the report a forward and the backward beside it run as one
// overlapped pair; here they stand one after the other.
StageSchedule dualpipe(const ScheduleShape& shape, int stage) {
  Writer writer(shape);
  const int near = stage < shape.stages / 2 ? 0 : 1;
  const int far = 1 - near;
  const int depth = std::min(stage, shape.stages - 1 - stage);  // distance from this end
  const int inner = shape.stages / 2 - depth - 1;               // distance from the middle
  for (int i = 0; i < 2 * inner; ++i) writer.forward(near);
  for (int i = 0; i <= depth; ++i) {
    writer.forward(near);
    writer.forward(far);
  }
  for (int i = 0; i < inner; ++i) {
    writer.input(far);
    writer.weight();
    writer.forward(far);
  }
  const int64_t steady = shape.micro_batches / 2 - shape.stages + depth + 1;
  for (int64_t i = 0; i < steady; ++i) {
    writer.forward(near);
    writer.whole_backward(far);
    writer.forward(far);
    writer.whole_backward(near);
  }
  for (int i = 0; i < inner; ++i) {
    writer.whole_backward(far);
    writer.forward(far);
    writer.whole_backward(near);
  }
  // Half of the last backwards are split: their weight gradients fill the ramp down.
  for (int i = 0; i < 2 * (depth + 1); ++i) {
    const int chunk = i % 2 == 0 ? far : near;
    if (i >= depth + 1)
      writer.input(chunk);
    else
      writer.whole_backward(chunk);
  }
  for (int i = 0; i < inner; ++i) {
    writer.weight();
    writer.input(near);
  }
  for (int i = 0; i <= depth; ++i) writer.weight();
  return writer.done();
}

}  // namespace meshplan::orders
