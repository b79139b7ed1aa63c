// SPDX-License-Identifier: Apache-2.0
// Orders against hand-written tables: F0 forward of micro-batch 0, B backward, I input gradient,
// W weight gradient; chunk 1 in lower case.
#include "strategies/schedule/schedule.hpp"

#include "strategies/schedule/check.hpp"
#include "strategies/schedule/orders.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

std::string text(const StageSchedule& list) {
  std::string out;
  for (const Action& action : list) {
    const char* letters = action.chunk == 0 ? "FBIW" : "fbiw";
    if (!out.empty()) out += ' ';
    out += letters[static_cast<size_t>(action.work)] + std::to_string(action.micro_batch);
  }
  return out;
}

std::vector<std::string> table(const ScheduleShape& shape) {
  auto schedule = make_schedule(shape);
  REQUIRE(schedule.ok());
  std::vector<std::string> lines;
  for (const StageSchedule& list : *schedule) lines.push_back(text(list));
  return lines;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("schedule names read back, and a misspelt one gets the nearest") {
  for (const char* name : {"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v", "dualpipe"})
    CHECK(std::string(name_of(*schedule_from(name))) == name);
  CHECK(schedule_from("interleavd").error().hint == "did you mean 'interleaved'?");
  CHECK(schedule_from("1F2B").error().kind == ErrorKind::usage);
}

TEST_CASE("gpipe and 1F1B on 2 stages and 4 micro-batches") {
  CHECK(table({ScheduleKind::gpipe, 2, 1, 4}) ==
        Lines{"F0 F1 F2 F3 B0 B1 B2 B3", "F0 F1 F2 F3 B0 B1 B2 B3"});
  CHECK(table({ScheduleKind::one_f_one_b, 2, 1, 4}) ==
        Lines{"F0 F1 B0 F2 B1 F3 B2 B3", "F0 B0 F1 B1 F2 B2 F3 B3"});
}

TEST_CASE("1F1B with fewer micro-batches than stages runs all forwards first") {
  CHECK(table({ScheduleKind::one_f_one_b, 4, 1, 2}) ==
        Lines{"F0 F1 B0 B1", "F0 F1 B0 B1", "F0 F1 B0 B1", "F0 B0 F1 B1"});
}

TEST_CASE("interleaved, depth-first: 2 stages, 2 chunks, 4 micro-batches") {
  // Warm-up on stage 0: 2 * 1 + 1 * 2 = 4, on stage 1: 2.
  CHECK(table({ScheduleKind::interleaved, 2, 2, 4}) ==
        Lines{"F0 F1 f0 f1 F2 b0 F3 b1 f2 B0 f3 B1 b2 b3 B2 B3",
              "F0 F1 f0 b0 f1 b1 F2 B0 F3 B1 f2 b2 f3 b3 B2 B3"});
}

TEST_CASE("interleaved, breadth-first: N = micro-batches runs a chunk through before the next") {
  CHECK(table({ScheduleKind::interleaved, 2, 2, 3, 3}) ==
        Lines{"F0 F1 F2 f0 f1 f2 b0 b1 b2 B0 B1 B2", "F0 F1 F2 f0 b0 f1 b1 f2 b2 B0 B1 B2"});
}

TEST_CASE("interleaved rounds: a last round of at least a pipeline stays shorter, else spread") {
  const auto rounds = [](int64_t m, int group) {
    const Rounds r = rounds_of({ScheduleKind::interleaved, 4, 2, m, group});
    return std::vector<int64_t>{r.first_count, r.first_size, r.rest_count, r.rest_size};
  };
  CHECK(rounds(16, 0) == std::vector<int64_t>{4, 4, 0, 0});
  CHECK(rounds(16, 6) == std::vector<int64_t>{2, 6, 1, 4});  // 6 + 6 + 4
  CHECK(rounds(15, 6) == std::vector<int64_t>{1, 8, 1, 7});  // 3 left over: 8 + 7
  CHECK(rounds(3, 0) == std::vector<int64_t>{1, 3, 0, 0});
  CHECK(rounds(9, 0) == std::vector<int64_t>{1, 5, 1, 4});
}

TEST_CASE("zb-h1: the last stage defers its weight gradients by stages - 1") {
  CHECK(table({ScheduleKind::zb_h1, 2, 1, 4}) ==
        Lines{"F0 F1 I0 W0 F2 I1 W1 F3 I2 W2 I3 W3", "F0 I0 F1 I1 W0 F2 I2 W1 F3 I3 W2 W3"});
}

TEST_CASE("zb-v on 2 stages and 4 micro-batches") {
  CHECK(table({ScheduleKind::zb_v, 2, 2, 4}) ==
        Lines{"F0 F1 F2 f0 i0 w0 f1 i1 w1 F3 I0 W0 f2 i2 w2 I1 W1 f3 i3 w3 I2 W2 I3 W3",
              "F0 f0 F1 f1 i0 w0 F2 I0 W0 f2 i1 w1 F3 I1 W1 f3 i2 w2 I2 i3 I3 W2 w3 W3"});
}

TEST_CASE("dualpipe on 2 stages: the stages mirror each other") {
  const Lines lines = table({ScheduleKind::dualpipe, 2, 2, 8});
  CHECK(lines[0] == "F0 f4 F1 b4 f5 B0 F2 b5 f6 B1 F3 b6 f7 B2 b7 I3 W3");
  CHECK(lines[1] == "f4 F0 f5 B0 F1 b4 f6 B1 F2 b5 f7 B2 F3 b6 B3 i7 w7");
}

TEST_CASE("shapes that cannot be scheduled are refused by rule") {
  const auto rule = [](const ScheduleShape& shape) { return make_schedule(shape).error().rule; };
  CHECK(rule({ScheduleKind::one_f_one_b, 4, 2, 8}) == "schedule.one_chunk");
  CHECK(rule({ScheduleKind::interleaved, 4, 1, 8}) == "schedule.interleaved.chunks");
  CHECK(rule({ScheduleKind::interleaved, 4, 2, 8, 3}) == "schedule.interleaved.group");
  CHECK(rule({ScheduleKind::zb_v, 4, 1, 8}) == "schedule.zb_v.chunks");
  CHECK(rule({ScheduleKind::dualpipe, 3, 2, 8}) == "schedule.dualpipe.stages");
  CHECK(rule({ScheduleKind::dualpipe, 4, 2, 6}) == "schedule.dualpipe.micro_batches");
  CHECK(rule({ScheduleKind::gpipe, 0, 1, 8}) == "schedule.positive");
}

TEST_CASE("virtual stages: loop, V and mirrored copies, and their inverse") {
  const ScheduleShape loop{ScheduleKind::interleaved, 4, 3, 8};
  const ScheduleShape vee{ScheduleKind::zb_v, 4, 2, 8};
  const ScheduleShape dual{ScheduleKind::dualpipe, 4, 2, 8};
  CHECK(virtual_stage(loop, 1, 2) == 9);
  CHECK(virtual_stage(vee, 0, 1) == 7);
  CHECK(virtual_stage(vee, 3, 1) == 4);
  CHECK(virtual_stages(dual) == 4);
  CHECK(virtual_stage(dual, 0, 1) == 3);
  for (const ScheduleShape& shape : {loop, vee, dual})
    for (int stage = 0; stage < shape.stages; ++stage)
      for (int chunk = 0; chunk < shape.chunks; ++chunk)
        CHECK(place_of(shape, virtual_stage(shape, stage, chunk), direction_of(shape, chunk)) ==
              Place{stage, chunk});
}

TEST_CASE("every schedule is complete and free of deadlocks") {
  for (int p = 1; p <= 9; ++p)
    for (int64_t m = 1; m <= 30; ++m) {
      std::vector<ScheduleShape> shapes{{ScheduleKind::gpipe, p, 1, m},
                                        {ScheduleKind::one_f_one_b, p, 1, m},
                                        {ScheduleKind::zb_h1, p, 1, m},
                                        {ScheduleKind::zb_v, p, 2, m}};
      if (p % 2 == 0 && m % 2 == 0 && m >= 2 * p)
        shapes.push_back({ScheduleKind::dualpipe, p, 2, m});
      for (int v = 2; v <= 4; ++v)
        for (int n = p; n < m; ++n) shapes.push_back({ScheduleKind::interleaved, p, v, m, n});
      for (int v = 2; v <= 4; ++v) shapes.push_back({ScheduleKind::interleaved, p, v, m});
      for (const ScheduleShape& shape : shapes) {
        auto schedule = make_schedule(shape);
        REQUIRE(schedule.ok());
        const Status status = check_schedule(shape, *schedule);
        INFO(name_of(shape.kind) << " p " << p << " m " << m << " v " << shape.chunks << " N "
                                 << shape.group);
        if (!status.ok()) FAIL(render(status.error()));
      }
    }
}

TEST_CASE("the checker names the stages that wait for each other") {
  const ScheduleShape shape{ScheduleKind::one_f_one_b, 2, 1, 2};
  // Stage 0 wants the gradient of micro-batch 1 first, stage 1 has not been sent micro-batch 1.
  std::vector<StageSchedule> schedule{{{Work::forward, 0, 0},
                                       {Work::backward, 0, 0},
                                       {Work::forward, 1, 0},
                                       {Work::backward, 1, 0}},
                                      {{Work::forward, 0, 0},
                                       {Work::forward, 1, 0},
                                       {Work::backward, 0, 0},
                                       {Work::backward, 1, 0}}};
  const Status status = check_schedule(shape, schedule);
  REQUIRE_FALSE(status.ok());
  CHECK(status.error().kind == ErrorKind::check);
  CHECK(status.error().notes ==
        Lines{"stage 0: backward of micro-batch 0, chunk 0 waits for stage 1: backward of "
              "micro-batch 0, chunk 0",
              "stage 1: forward of micro-batch 1, chunk 0 waits for stage 0: forward of "
              "micro-batch 1, chunk 0"});
}

TEST_CASE("the checker finds missing, repeated and misplaced actions") {
  const ScheduleShape shape{ScheduleKind::zb_h1, 2, 1, 3};
  const auto good = *make_schedule(shape);
  auto bad = good;
  bad[1].pop_back();
  CHECK(check_schedule(shape, bad).error().message == "the action is missing from the schedule");
  bad = good;
  bad[0].push_back(bad[0].back());
  CHECK(check_schedule(shape, bad).error().message == "the action stands twice in the schedule");
  bad = good;
  bad[0][0].micro_batch = 3;
  CHECK_FALSE(check_schedule(shape, bad).ok());
  bad = good;  // weight gradient before its input gradient: the stage waits for itself
  std::swap(bad[0][2], bad[0][3]);
  CHECK(check_schedule(shape, bad).error().notes.size() == 1);
  bad.pop_back();
  CHECK_FALSE(check_schedule(shape, bad).ok());
}

TEST_CASE("the rule for N is needed: fewer than the stages really deadlocks") {
  const ScheduleShape shape{ScheduleKind::interleaved, 4, 2, 8, 2};
  CHECK_FALSE(check_shape(shape).ok());
  std::vector<StageSchedule> schedule;
  for (int stage = 0; stage < 4; ++stage) schedule.push_back(orders::interleaved(shape, stage));
  const Status status = check_schedule(shape, schedule);
  REQUIRE_FALSE(status.ok());
  CHECK(status.error().notes.size() >= 2);
  // One round only is breadth-first and may be shorter than the pipeline.
  CHECK(make_schedule({ScheduleKind::interleaved, 4, 2, 2, 2}).ok());
}
