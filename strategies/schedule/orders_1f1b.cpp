// SPDX-License-Identifier: Apache-2.0
// gpipe, 1F1B and interleaved 1F1B: whole backwards.
#include "strategies/schedule/orders.hpp"

namespace meshplan::orders {

namespace {

struct Unit {
  int32_t micro_batch;
  int16_t chunk;
};

/// Order in which a stage runs its forwards: in rounds, per round chunk by chunk.
std::vector<Unit> forward_order(const ScheduleShape& shape) {
  std::vector<Unit> units;
  units.reserve(static_cast<size_t>(shape.micro_batches * shape.chunks));
  const Rounds rounds = rounds_of(shape);
  int64_t first = 0;
  for (int64_t round = 0; round < rounds.first_count + rounds.rest_count; ++round) {
    const int64_t size = round < rounds.first_count ? rounds.first_size : rounds.rest_size;
    for (int chunk = 0; chunk < shape.chunks; ++chunk)
      for (int64_t i = 0; i < size; ++i)
        units.push_back({static_cast<int32_t>(first + i), static_cast<int16_t>(chunk)});
    first += size;
  }
  return units;
}

}  // namespace

StageSchedule gpipe(const ScheduleShape& shape) {
  StageSchedule list;
  const auto m = static_cast<int32_t>(shape.micro_batches);
  list.reserve(2 * static_cast<size_t>(m));
  for (int32_t i = 0; i < m; ++i) list.push_back({Work::forward, i, 0});
  for (int32_t i = 0; i < m; ++i) list.push_back({Work::backward, i, 0});
  return list;
}

StageSchedule one_f_one_b(const ScheduleShape& shape, int stage) {
  StageSchedule list;
  const auto m = static_cast<int32_t>(shape.micro_batches);
  const auto ahead = static_cast<int32_t>(warm_up(shape, stage));
  list.reserve(2 * static_cast<size_t>(m));
  for (int32_t i = 0; i < m + ahead; ++i) {
    if (i < m) list.push_back({Work::forward, i, 0});
    if (i >= ahead) list.push_back({Work::backward, i - ahead, 0});
  }
  return list;
}

StageSchedule interleaved(const ScheduleShape& shape, int stage) {
  StageSchedule list;
  const std::vector<Unit> units = forward_order(shape);
  const auto ahead = static_cast<size_t>(warm_up(shape, stage));
  list.reserve(2 * units.size());
  for (size_t i = 0; i < units.size() + ahead; ++i) {
    if (i < units.size()) list.push_back({Work::forward, units[i].micro_batch, units[i].chunk});
    if (i < ahead) continue;
    // Backwards run through the same rounds with the chunks in reverse.
    const Unit& unit = units[i - ahead];
    list.push_back(
        {Work::backward, unit.micro_batch, static_cast<int16_t>(shape.chunks - 1 - unit.chunk)});
  }
  return list;
}

}  // namespace meshplan::orders
