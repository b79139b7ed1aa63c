// SPDX-License-Identifier: Apache-2.0
#include "strategies/schedule/memory.hpp"

#include <random>

#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("micro-batches in flight, by the formulas of the papers") {
  CHECK(in_flight({ScheduleKind::gpipe, 4, 1, 8}, 0) == 8);
  for (int stage = 0; stage < 4; ++stage) {
    CHECK(in_flight({ScheduleKind::one_f_one_b, 4, 1, 8}, stage) == 4 - stage);
    CHECK(in_flight({ScheduleKind::zb_h1, 4, 1, 8}, stage) == 4);
    // 2 (p - s - 1) + (v - 1) N + 1 chunks.
    CHECK(in_flight({ScheduleKind::interleaved, 4, 2, 8}, stage) == 2 * (3 - stage) + 4 + 1);
    CHECK(in_flight({ScheduleKind::interleaved, 4, 3, 18, 6}, stage) == 2 * (3 - stage) + 12 + 1);
    // Two chunks of half the size: 2p of them are the memory of 1F1B's first stage, everywhere.
    CHECK(in_flight({ScheduleKind::zb_v, 4, 2, 16}, stage) == 8);
    // p + 1 whole-stage activations, DeepSeek-V3 report, table 2.
    CHECK(in_flight({ScheduleKind::dualpipe, 4, 2, 16}, stage) == 5);
  }
  CHECK(in_flight({ScheduleKind::one_f_one_b, 4, 1, 2}, 0) == 2);
  CHECK(in_flight({ScheduleKind::interleaved, 4, 2, 4}, 0) == 8);
}

TEST_CASE("1F1B peak by hand: transients of forward and backward") {
  const ScheduleShape shape{ScheduleKind::one_f_one_b, 4, 1, 8};
  // Stage 1 holds 3. Forward: 2 saved + 150; backward: 3 saved + 30.
  CHECK(peak_saved(shape, 1, {{.saved = 100, .forward_peak = 150, .backward_peak = 30}}) == 350);
  CHECK(peak_saved(shape, 1, {{.saved = 100, .forward_peak = 120, .backward_peak = 30}}) == 330);
}

TEST_CASE("a split backward keeps the remainder until its weight gradient") {
  const StageSchedule list{{Work::forward, 0, 0},        {Work::input_gradient, 0, 0},
                           {Work::forward, 1, 0},        {Work::weight_gradient, 0, 0},
                           {Work::input_gradient, 1, 0}, {Work::weight_gradient, 1, 0}};
  // Peak in the second forward: 40 kept + 110.
  const ChunkBytes bytes{.saved = 100, .kept_for_weight = 40, .forward_peak = 110};
  CHECK(peak_saved(list, {bytes}) == 150);
}

TEST_CASE("closed forms equal the replay for random shapes and bytes") {
  std::mt19937 random(7);
  const auto draw = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  for (int trial = 0; trial < 3000; ++trial) {
    ScheduleShape shape;
    shape.kind = static_cast<ScheduleKind>(draw(0, kScheduleKinds - 1));
    shape.stages = draw(1, 8);
    shape.micro_batches = draw(1, 80);
    if (shape.kind == ScheduleKind::interleaved) {
      shape.chunks = draw(2, 5);
      shape.group = draw(0, 1) ? shape.stages + draw(0, 12) : 0;
    } else if (shape.kind == ScheduleKind::zb_v || shape.kind == ScheduleKind::dualpipe) {
      shape.chunks = 2;
    }
    if (shape.kind == ScheduleKind::dualpipe) {
      shape.stages = 2 * draw(1, 4);
      shape.micro_batches = 2 * shape.stages + 2 * draw(0, 30);
    }
    std::vector<ChunkBytes> bytes(static_cast<size_t>(shape.chunks));
    for (ChunkBytes& b : bytes) {
      b.saved = draw(0, 100);
      b.kept_for_weight = draw(0, static_cast<int>(b.saved));
      b.forward_peak = b.saved + draw(0, 200);
      b.backward_peak = draw(0, 200);
      b.weight_peak = draw(0, 50);
    }
    auto schedule = make_schedule(shape);
    REQUIRE(schedule.ok());
    for (int stage = 0; stage < shape.stages; ++stage) {
      INFO(name_of(shape.kind) << " p " << shape.stages << " m " << shape.micro_batches << " v "
                               << shape.chunks << " N " << shape.group << " stage " << stage);
      CHECK(peak_saved(shape, stage, bytes) ==
            peak_saved((*schedule)[static_cast<size_t>(stage)], bytes));
    }
  }
}
