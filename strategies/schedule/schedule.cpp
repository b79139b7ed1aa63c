// SPDX-License-Identifier: Apache-2.0
#include "strategies/schedule/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "strategies/schedule/orders.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan {

const char* name_of(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::gpipe:
      return "gpipe";
    case ScheduleKind::one_f_one_b:
      return "1f1b";
    case ScheduleKind::interleaved:
      return "interleaved";
    case ScheduleKind::zb_h1:
      return "zb-h1";
    case ScheduleKind::zb_v:
      return "zb-v";
    case ScheduleKind::dualpipe:
      return "dualpipe";
  }
  return "?";
}

const char* name_of(Work work) {
  switch (work) {
    case Work::forward:
      return "forward";
    case Work::backward:
      return "backward";
    case Work::input_gradient:
      return "input gradient";
    case Work::weight_gradient:
      return "weight gradient";
  }
  return "?";
}

Result<ScheduleKind> schedule_from(const std::string& text) {
  std::vector<std::string> names;
  for (int i = 0; i < kScheduleKinds; ++i) {
    const auto kind = static_cast<ScheduleKind>(i);
    if (text == name_of(kind)) return kind;
    names.emplace_back(name_of(kind));
  }
  return Diagnostic{.kind = ErrorKind::usage,
                    .message = "unknown pipeline schedule",
                    .value = text,
                    .hint = suggest(text, names)};
}

namespace {

Diagnostic refused(const ScheduleShape& shape, std::string rule, std::string message,
                   std::string hint) {
  return Diagnostic{.kind = ErrorKind::no_plan,
                    .message = std::move(message),
                    .where = "schedule",
                    .value = fmt::format("{} on {} stages, {} chunks, {} micro-batches, group {}",
                                         name_of(shape.kind), shape.stages, shape.chunks,
                                         shape.micro_batches, shape.group),
                    .rule = "schedule." + std::move(rule),
                    .hint = std::move(hint)};
}

}  // namespace

Status check_shape(const ScheduleShape& shape) {
  if (shape.stages < 1 || shape.chunks < 1 || shape.micro_batches < 1 || shape.group < 0)
    return refused(shape, "positive", "a pipeline needs at least one stage, chunk and micro-batch",
                   "give positive numbers");
  if (shape.micro_batches > std::numeric_limits<int32_t>::max() ||
      shape.chunks > std::numeric_limits<int16_t>::max())
    return refused(shape, "range", "more micro-batches or chunks than an action can number",
                   "use larger micro-batches or fewer chunks");
  switch (shape.kind) {
    case ScheduleKind::gpipe:
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::zb_h1:
      if (shape.chunks != 1)
        return refused(shape, "one_chunk", "this schedule has one chunk per stage",
                       "vpp 1, or the interleaved schedule");
      break;
    case ScheduleKind::interleaved:
      if (shape.chunks < 2)
        return refused(shape, "interleaved.chunks", "interleaving needs two chunks per stage",
                       "vpp 2 or more, or the 1f1b schedule");
      if (shape.group != 0 && shape.group < shape.stages && shape.group < shape.micro_batches)
        return refused(shape, "interleaved.group",
                       "fewer consecutive micro-batches per chunk than stages would deadlock",
                       fmt::format("group {} or more", shape.stages));
      break;
    case ScheduleKind::zb_v:
      if (shape.chunks != 2)
        return refused(shape, "zb_v.chunks", "zb-v has two chunks per stage", "vpp 2");
      break;
    case ScheduleKind::dualpipe:
      if (shape.chunks != 2)
        return refused(shape, "dualpipe.chunks", "dualpipe holds two chunks per stage", "vpp 2");
      if (shape.stages % 2 != 0)
        return refused(shape, "dualpipe.stages", "dualpipe needs an even number of stages",
                       fmt::format("pp {}", shape.stages + 1));
      if (shape.micro_batches % 2 != 0 || shape.micro_batches < int64_t{2} * shape.stages)
        return refused(shape, "dualpipe.micro_batches",
                       "dualpipe needs an even number of micro-batches, at least two per stage",
                       fmt::format("{} micro-batches", std::max<int64_t>(int64_t{2} * shape.stages,
                                                                         shape.micro_batches + 1)));
      break;
  }
  return Done{};
}

Result<std::vector<StageSchedule>> make_schedule(const ScheduleShape& shape) {
  MESHPLAN_CHECK(check_shape(shape));
  std::vector<StageSchedule> all;
  all.reserve(static_cast<size_t>(shape.stages));
  for (int stage = 0; stage < shape.stages; ++stage) {
    switch (shape.kind) {
      case ScheduleKind::gpipe:
        all.push_back(orders::gpipe(shape));
        break;
      case ScheduleKind::one_f_one_b:
        all.push_back(orders::one_f_one_b(shape, stage));
        break;
      case ScheduleKind::interleaved:
        all.push_back(orders::interleaved(shape, stage));
        break;
      case ScheduleKind::zb_h1:
        all.push_back(orders::zb_h1(shape, stage));
        break;
      case ScheduleKind::zb_v:
        all.push_back(orders::zb_v(shape, stage));
        break;
      case ScheduleKind::dualpipe:
        all.push_back(orders::dualpipe(shape, stage));
        break;
    }
  }
  return all;
}

int virtual_stages(const ScheduleShape& shape) {
  return shape.kind == ScheduleKind::dualpipe ? shape.stages : shape.stages * shape.chunks;
}

int virtual_stage(const ScheduleShape& shape, int stage, int chunk) {
  switch (shape.kind) {
    case ScheduleKind::gpipe:
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::zb_h1:
    case ScheduleKind::interleaved:
      return chunk * shape.stages + stage;
    case ScheduleKind::zb_v:
      return chunk == 0 ? stage : 2 * shape.stages - 1 - stage;
    case ScheduleKind::dualpipe:
      return chunk == 0 ? stage : shape.stages - 1 - stage;
  }
  return 0;
}

int direction_of(const ScheduleShape& shape, int chunk) {
  return shape.kind == ScheduleKind::dualpipe ? chunk : 0;
}

MicroBatchRange micro_batches_of(const ScheduleShape& shape, int chunk) {
  if (shape.kind != ScheduleKind::dualpipe) return {0, shape.micro_batches};
  const int64_t half = shape.micro_batches / 2;
  return chunk == 0 ? MicroBatchRange{0, half} : MicroBatchRange{half, shape.micro_batches};
}

Place place_of(const ScheduleShape& shape, int piece, int direction) {
  switch (shape.kind) {
    case ScheduleKind::gpipe:
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::zb_h1:
    case ScheduleKind::interleaved:
      return {piece % shape.stages, piece / shape.stages};
    case ScheduleKind::zb_v:
      return piece < shape.stages ? Place{piece, 0} : Place{2 * shape.stages - 1 - piece, 1};
    case ScheduleKind::dualpipe:
      return direction == 0 ? Place{piece, 0} : Place{shape.stages - 1 - piece, 1};
  }
  return {0, 0};
}

Rounds rounds_of(const ScheduleShape& shape) {
  const int64_t m = shape.micro_batches;
  const int64_t size = std::min<int64_t>(m, shape.group == 0 ? shape.stages : shape.group);
  const int64_t full = m / size;
  const int64_t left = m % size;
  if (left == 0) return {full, size, 0, 0};
  if (left >= shape.stages) return {full, size, 1, left};
  const int64_t longer = m % full;  // rounds with one micro-batch more than the others
  if (longer == 0) return {full, m / full, 0, 0};
  return {longer, m / full + 1, full - longer, m / full};
}

int64_t warm_up(const ScheduleShape& shape, int stage) {
  const int64_t m = shape.micro_batches;
  const int64_t below = shape.stages - stage - 1;
  if (shape.kind == ScheduleKind::gpipe) return m;
  if (shape.kind != ScheduleKind::interleaved) return std::min(below, m);
  return std::min(2 * below + (shape.chunks - 1) * rounds_of(shape).first_size, m * shape.chunks);
}

}  // namespace meshplan
