// SPDX-License-Identifier: Apache-2.0
#include "strategies/schedule/check.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace meshplan {

namespace {

std::optional<Place> neighbour(const ScheduleShape& shape, int stage, const Action& action,
                               int step) {
  const int piece = virtual_stage(shape, stage, action.chunk) + step;
  if (piece < 0 || piece >= virtual_stages(shape)) return std::nullopt;
  return place_of(shape, piece, direction_of(shape, action.chunk));
}

std::string text(int stage, const Action& action) {
  return fmt::format("stage {}: {} of micro-batch {}, chunk {}", stage, name_of(action.work),
                     action.micro_batch, action.chunk);
}

Diagnostic broken(std::string message, std::string where) {
  return Diagnostic{.kind = ErrorKind::check,
                    .message = std::move(message),
                    .where = std::move(where),
                    .rule = "schedule.order"};
}

/// What has been executed, per (stage, chunk, micro-batch).
class Progress {
 public:
  enum Bit : uint8_t { forward = 1, gradient = 2, weight = 4 };

  explicit Progress(const ScheduleShape& shape)
      : chunks_(static_cast<size_t>(shape.chunks)),
        micro_batches_(static_cast<size_t>(shape.micro_batches)),
        bits_(static_cast<size_t>(shape.stages) * chunks_ * micro_batches_) {}

  uint8_t& at(Place place, int32_t micro_batch) {
    return bits_[(static_cast<size_t>(place.stage) * chunks_ + static_cast<size_t>(place.chunk)) *
                     micro_batches_ +
                 static_cast<size_t>(micro_batch)];
  }
  static uint8_t effect(Work work) {
    switch (work) {
      case Work::forward:
        return forward;
      case Work::backward:
        return gradient | weight;
      case Work::input_gradient:
        return gradient;
      case Work::weight_gradient:
        return weight;
    }
    return 0;
  }

 private:
  size_t chunks_, micro_batches_;
  std::vector<uint8_t> bits_;
};

/// The action that `action` still waits for; empty: it can run.
std::optional<std::pair<int, Action>> waits_for(const ScheduleShape& shape, Progress& progress,
                                                int stage, const Action& action) {
  const uint8_t own = progress.at({stage, action.chunk}, action.micro_batch);
  Action needed = action;
  if (action.work == Work::weight_gradient) {
    needed.work = Work::input_gradient;
    if (!(own & Progress::gradient)) return std::pair{stage, needed};
    return std::nullopt;
  }
  if (action.work != Work::forward && !(own & Progress::forward)) {
    needed.work = Work::forward;
    return std::pair{stage, needed};
  }
  const auto sender = sender_of(shape, stage, action);
  if (!sender) return std::nullopt;
  const uint8_t theirs = progress.at(*sender, action.micro_batch);
  const uint8_t bit = action.work == Work::forward ? Progress::forward : Progress::gradient;
  needed.chunk = static_cast<int16_t>(sender->chunk);
  if (!(theirs & bit)) return std::pair{sender->stage, needed};
  return std::nullopt;
}

Status check_complete(const ScheduleShape& shape, const std::vector<StageSchedule>& schedule) {
  if (schedule.size() != static_cast<size_t>(shape.stages))
    return broken(fmt::format("{} lists of actions for {} stages", schedule.size(), shape.stages),
                  "schedule");
  Progress seen(shape);
  for (int stage = 0; stage < shape.stages; ++stage) {
    for (const Action& action : schedule[static_cast<size_t>(stage)]) {
      if (action.chunk < 0 || action.chunk >= shape.chunks)
        return broken("no such chunk", text(stage, action));
      const MicroBatchRange range = micro_batches_of(shape, action.chunk);
      if (action.micro_batch < range.first || action.micro_batch >= range.last)
        return broken("this micro-batch does not pass through this chunk", text(stage, action));
      uint8_t& bits = seen.at({stage, action.chunk}, action.micro_batch);
      if (bits & Progress::effect(action.work))
        return broken("the action stands twice in the schedule", text(stage, action));
      bits |= Progress::effect(action.work);
    }
    for (int16_t chunk = 0; chunk < shape.chunks; ++chunk) {
      const MicroBatchRange range = micro_batches_of(shape, chunk);
      for (auto i = static_cast<int32_t>(range.first); i < range.last; ++i)
        for (Work work : {Work::forward, Work::input_gradient, Work::weight_gradient})
          if (!(seen.at({stage, chunk}, i) & Progress::effect(work)))
            return broken("the action is missing from the schedule", text(stage, {work, i, chunk}));
    }
  }
  return Done{};
}

/// Follows "waits for" from stage to stage until a stage comes back; every stage on the way stands
/// at an action that cannot run.
Diagnostic deadlock(const ScheduleShape& shape, const std::vector<StageSchedule>& schedule,
                    const std::vector<size_t>& next, Progress& progress) {
  int stage = 0;
  while (next[static_cast<size_t>(stage)] == schedule[static_cast<size_t>(stage)].size()) ++stage;
  std::vector<int> path;
  std::vector<std::string> lines;
  while (std::find(path.begin(), path.end(), stage) == path.end()) {
    const Action& head = schedule[static_cast<size_t>(stage)][next[static_cast<size_t>(stage)]];
    const auto needed = waits_for(shape, progress, stage, head);
    path.push_back(stage);
    lines.push_back(
        fmt::format("{} waits for {}", text(stage, head), text(needed->first, needed->second)));
    stage = needed->first;
  }
  const auto begin = std::find(path.begin(), path.end(), stage) - path.begin();
  Diagnostic error = broken("the schedule deadlocks: its stages wait for each other",
                            fmt::format("stage {}", stage));
  error.notes.assign(lines.begin() + begin, lines.end());
  return error;
}

}  // namespace

std::optional<Place> sender_of(const ScheduleShape& shape, int stage, const Action& action) {
  if (action.work == Work::weight_gradient) return std::nullopt;
  return neighbour(shape, stage, action, action.work == Work::forward ? -1 : 1);
}

std::optional<Place> receiver_of(const ScheduleShape& shape, int stage, const Action& action) {
  if (action.work == Work::weight_gradient) return std::nullopt;
  return neighbour(shape, stage, action, action.work == Work::forward ? 1 : -1);
}

Status check_schedule(const ScheduleShape& shape, const std::vector<StageSchedule>& schedule) {
  MESHPLAN_CHECK(check_complete(shape, schedule));
  Progress progress(shape);
  std::vector<size_t> next(schedule.size(), 0);
  // A stage runs as far as it can; a result wakes the stage that receives it.
  std::vector<int> awake;
  for (int stage = shape.stages - 1; stage >= 0; --stage) awake.push_back(stage);
  while (!awake.empty()) {
    const int stage = awake.back();
    awake.pop_back();
    const StageSchedule& list = schedule[static_cast<size_t>(stage)];
    for (size_t& i = next[static_cast<size_t>(stage)]; i < list.size(); ++i) {
      const Action& action = list[i];
      if (waits_for(shape, progress, stage, action)) break;
      progress.at({stage, action.chunk}, action.micro_batch) |= Progress::effect(action.work);
      const auto receiver = receiver_of(shape, stage, action);
      if (receiver && receiver->stage != stage &&
          (awake.empty() || awake.back() != receiver->stage))
        awake.push_back(receiver->stage);
    }
  }
  for (size_t stage = 0; stage < schedule.size(); ++stage)
    if (next[stage] < schedule[stage].size()) return deadlock(shape, schedule, next, progress);
  return Done{};
}

}  // namespace meshplan
