// SPDX-License-Identifier: Apache-2.0
#include "costmodel/timeline/pipeline_time.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

PipelineInput even(ScheduleKind kind, int stages, int chunks, int64_t micro_batches,
                   ChunkTimes times, int group = 0) {
  PipelineInput input;
  input.shape = {kind, stages, chunks, micro_batches, group};
  input.times.assign(static_cast<size_t>(stages) * static_cast<size_t>(chunks), times);
  return input;
}

PipelineResult simulated(const PipelineInput& input) {
  auto schedule = make_schedule(input.shape);
  REQUIRE(schedule.ok());
  auto result = simulate_pipeline(input, *schedule);
  REQUIRE(result.ok());
  return *result;
}

}  // namespace

TEST_CASE("2 stages, 4 micro-batches, forward 1 s and backward 2 s") {
  // gpipe, 1F1B: (4 + 1) * 3. Interleaved by 2: the ramp halves, 12 + 3 / 2.
  CHECK(simulated(even(ScheduleKind::gpipe, 2, 1, 4, {1, 2})).total_s == 15);
  CHECK(simulated(even(ScheduleKind::one_f_one_b, 2, 1, 4, {1, 2})).total_s == 15);
  CHECK(simulated(even(ScheduleKind::interleaved, 2, 2, 4, {0.5, 1})).total_s == 13.5);
  // zb-h1: 12 + (p - 1)(F + I - W). zb-v: stage 1 starts half a second late and never waits.
  CHECK(simulated(even(ScheduleKind::zb_h1, 2, 1, 4, {1, 0, 1, 1})).total_s == 13);
  CHECK(simulated(even(ScheduleKind::zb_v, 2, 2, 4, {0.5, 0, 0.5, 0.5})).total_s == 12.5);
  // dualpipe: 8 micro-batches through 2 stages, bubble (p / 2 - 1)(...) = 0.
  CHECK(simulated(even(ScheduleKind::dualpipe, 2, 2, 8, {1, 2, 1, 1})).total_s == 24);
}

TEST_CASE("bubble over work is (p - 1) / (m v)") {
  for (int p : {2, 4, 8})
    for (int rounds : {1, 2, 5}) {
      const int64_t m = int64_t{rounds} * p;
      const double ramp = static_cast<double>(p - 1) / static_cast<double>(m);
      for (auto kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b}) {
        const PipelineResult r = simulated(even(kind, p, 1, m, {1, 2}));
        CHECK(r.bubble_s / r.compute_s == Approx(ramp));
      }
      for (int v : {2, 4}) {
        const PipelineResult r = simulated(even(ScheduleKind::interleaved, p, v, m, {1, 2}));
        CHECK(r.bubble_s / r.compute_s == Approx(ramp / v));
      }
    }
}

TEST_CASE("zero-bubble papers: bubbles of zb-h1 and zb-v at equal F, I, W") {
  for (int p : {2, 4, 8}) {
    const int64_t m = 3 * p;
    const auto h1 = simulated(even(ScheduleKind::zb_h1, p, 1, m, {2, 0, 2, 2}));
    CHECK(h1.total_s == Approx(6.0 * static_cast<double>(m) + 2 * (p - 1)));
    const auto v = simulated(even(ScheduleKind::zb_v, p, 2, m, {1, 0, 1, 1}));
    CHECK(v.total_s == Approx(6.0 * static_cast<double>(m) + (p - 1)));
  }
}

TEST_CASE("dualpipe bubble is at most (p / 2 - 1)(F&B + B - 3 W), DeepSeek-V3 report, table 2") {
  // The report sends both results when the pair of forward and backward ends; here the forward's is
  // sent when the forward ends, which shortens the ramp by one forward. F = I = W = 1, B = 2.
  for (int p : {4, 8}) {
    const int64_t m = 4 * p;
    const auto r = simulated(even(ScheduleKind::dualpipe, p, 2, m, {1, 2, 1, 1}));
    const double bubble = r.total_s - 3.0 * static_cast<double>(m);
    CHECK(bubble == Approx(p / 2 - 1));
    CHECK(bubble <= (p / 2.0 - 1) * (3 + 2 - 3));
  }
}

TEST_CASE("p2p by hand: 2 stages, 2 micro-batches, 1F1B") {
  PipelineInput input = even(ScheduleKind::one_f_one_b, 2, 1, 2, {1, 2});
  input.p2p_s = 0.25;
  // Stage 1: F0 1.25-2.25, B0 2.25-4.25, F1 4.25-5.25, B1 5.25-7.25; stage 0: B1 7.5-9.5.
  const PipelineResult beside = simulated(input);
  CHECK(beside.total_s == 9.5);
  // Stage 0 waits for B0 from 2 to 4.5 (a quarter on the wire) and for B1 from 6.5 to 7.5.
  CHECK(beside.p2p_s[0] == 0.5);
  CHECK(beside.idle_s[0] == 3);
  // Blocking: stage 1 sends B0 until 4.5, so F1 4.5-5.5, B1 5.5-7.5, sent 7.75; stage 0 9.75.
  input.p2p_overlapped = false;
  CHECK(simulated(input).total_s == 9.75);
  // In line: stage 1 takes F1's input from 4.5 on, F1 4.75-5.75, B1 5.75-7.75; stage 0 takes B1's
  // until 8 and ends at 10.
  input.p2p_in_line = true;
  const PipelineResult in_line = simulated(input);
  CHECK(in_line.total_s == 10);
  CHECK(in_line.p2p_s == std::vector<double>{1, 1});
}

TEST_CASE("exposed gather and reduction at the ends of the step") {
  PipelineInput input = even(ScheduleKind::one_f_one_b, 2, 1, 4, {1, 2});
  input.first_forward_s = {0.5, 0};
  CHECK(simulated(input).total_s == 15.5);
  // The reduction of stage 1 ends at 13 + 3 and is not waited for by stage 0, which ends at 15.
  input.first_forward_s.clear();
  input.last_backward_s = {0, 3};
  CHECK(simulated(input).total_s == 16);
  CHECK(simulated(input).busy_s[1] == 15);
}

TEST_CASE("times of every stage sum to the total, and the trace is the schedule in time") {
  PipelineInput input = even(ScheduleKind::interleaved, 4, 2, 8, {1, 2});
  for (size_t i = 0; i < input.times.size(); ++i) input.times[i].forward += 0.1 * (i % 3);
  input.p2p_s = 0.3;
  const auto schedule = *make_schedule(input.shape);
  const auto result = simulate_pipeline(input, schedule, true);
  REQUIRE(result.ok());
  for (size_t stage = 0; stage < 4; ++stage) {
    CHECK(result->busy_s[stage] + result->p2p_s[stage] + result->idle_s[stage] ==
          Approx(result->total_s));
    CHECK(result->idle_s[stage] >= 0);
  }
  CHECK(result->compute_s + result->exposed_p2p_s + result->bubble_s == Approx(result->total_s));
  CHECK(result->trace.size() == 4 * schedule[0].size());
  std::vector<size_t> next(4, 0);
  std::vector<double> free(4, 0);
  for (const TimedAction& timed : result->trace) {
    const auto stage = static_cast<size_t>(timed.stage);
    CHECK(timed.action == schedule[stage][next[stage]++]);
    CHECK(timed.start_s >= free[stage]);
    free[stage] = timed.end_s;
  }
}

TEST_CASE("wrong sizes and deadlocks are errors") {
  PipelineInput input = even(ScheduleKind::one_f_one_b, 2, 1, 2, {1, 2});
  auto schedule = *make_schedule(input.shape);
  std::swap(schedule[0][1], schedule[0][2]);  // stage 0: F0 B0 F1 B1 is still sound
  CHECK(simulate_pipeline(input, schedule).ok());
  std::swap(schedule[1][1], schedule[1][2]);  // stage 1: F0 F1 B0 B1 now waits for ever
  CHECK(simulate_pipeline(input, schedule).error().rule == "schedule.order");
  input.times.pop_back();
  CHECK_FALSE(simulate_pipeline(input).ok());
}
