// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <random>

#include "costmodel/timeline/pipeline_time.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

class Draw {
 public:
  explicit Draw(unsigned seed) : random_(seed) {}
  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  double real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }
  /// Any shape; stages differ by up to `spread` of the mean.
  PipelineInput input(double spread, int most_micro_batches) {
    PipelineInput input;
    ScheduleShape& shape = input.shape;
    shape.kind = static_cast<ScheduleKind>(integer(0, kScheduleKinds - 1));
    shape.stages = integer(1, 8);
    shape.micro_batches = integer(1, most_micro_batches);
    if (shape.kind == ScheduleKind::interleaved) {
      shape.chunks = integer(2, 4);
      shape.group = integer(0, 1) ? shape.stages + integer(0, 9) : 0;
    } else if (shape.kind == ScheduleKind::zb_v || shape.kind == ScheduleKind::dualpipe) {
      shape.chunks = 2;
    }
    if (shape.kind == ScheduleKind::dualpipe) {
      shape.stages = 2 * integer(1, 4);
      shape.micro_batches = 2 * shape.stages + 2 * integer(0, most_micro_batches / 2);
    }
    const double forward = real(0.5, 1.5), input_gradient = real(0.5, 1.5),
                 weight_gradient = real(0.2, 1.2);
    const double whole = real(0.9, 1.1);  // of the two gradients computed apart
    const auto near = [&](double value) { return value * (1 + spread * real(-1, 1)); };
    for (int i = 0; i < shape.stages * shape.chunks; ++i) {
      const double i_s = near(input_gradient), w_s = near(weight_gradient);
      input.times.push_back({near(forward), (i_s + w_s) * whole, i_s, w_s});
      if (spread > 0) {
        input.first_forward_s.push_back(real(0, 1));
        input.last_backward_s.push_back(real(0, 1));
      }
    }
    if (integer(0, 2)) input.p2p_s = real(0, 0.5);
    const int kind = integer(0, 2);
    input.p2p_overlapped = kind == 0;
    input.p2p_in_line = kind == 2;
    return input;
  }

 private:
  std::mt19937 random_;
};

std::string text(const PipelineInput& input) {
  const ScheduleShape& s = input.shape;
  return std::string(name_of(s.kind)) + " p " + std::to_string(s.stages) + " v " +
         std::to_string(s.chunks) + " m " + std::to_string(s.micro_batches) + " N " +
         std::to_string(s.group) + " p2p " + std::to_string(input.p2p_s) +
         (input.p2p_overlapped ? " beside"
          : input.p2p_in_line  ? " in line"
                               : " blocking");
}

double simulated(const PipelineInput& input) {
  return simulate_pipeline(input, *make_schedule(input.shape))->total_s;
}

}  // namespace

TEST_CASE("the lower bound never exceeds the simulated time, and is positive") {
  Draw draw(11);
  for (int trial = 0; trial < 6000; ++trial) {
    const PipelineInput input = draw.input(trial % 3 == 0 ? 0.0 : draw.real(0, 0.9), 40);
    INFO(text(input));
    const double bound = pipeline_lower_bound(input);
    CHECK(bound > 0);
    CHECK(bound <= simulated(input));
  }
}

TEST_CASE("extrapolated steady part equals the full simulation") {
  Draw draw(5);
  for (int trial = 0; trial < 300; ++trial) {
    PipelineInput input = draw.input(trial % 3 == 0 ? 0.0 : draw.real(0, 0.9), 3000);
    INFO(text(input));
    const auto schedule = *make_schedule(input.shape);
    const PipelineResult full = *simulate_pipeline(input, schedule);
    const PipelineResult fast = *simulate_pipeline(input);
    CHECK(fast.total_s == Approx(full.total_s).epsilon(1e-9));
    for (size_t stage = 0; stage < full.busy_s.size(); ++stage) {
      CHECK(fast.busy_s[stage] == Approx(full.busy_s[stage]).epsilon(1e-9));
      CHECK(std::abs(fast.p2p_s[stage] - full.p2p_s[stage]) <= 1e-9 * full.total_s);
    }
  }
}

TEST_CASE("the recurrence is exact for gpipe, extras included") {
  Draw draw(23);
  for (int trial = 0; trial < 1500; ++trial) {
    PipelineInput input = draw.input(draw.real(0, 0.9), 60);
    if (input.shape.chunks > 1) continue;
    input.shape.kind = ScheduleKind::gpipe;
    // Reductions of later stages can outlast the first stage's; the bound covers that only roughly.
    for (size_t i = 1; i < input.last_backward_s.size(); ++i) input.last_backward_s[i] = 0;
    INFO(text(input));
    CHECK(pipeline_recurrence(input) == Approx(simulated(input)).epsilon(1e-9));
  }
}

TEST_CASE("the recurrence on even stages: 1F1B and interleaved within 3 %, zb-h1 within 6 %") {
  // The error is largest where transfers cost a third of a forward and the ramp is all there is.
  Draw draw(29);
  double sum = 0;
  int count = 0;
  for (int trial = 0; trial < 6000; ++trial) {
    PipelineInput input = draw.input(0, 100);
    const ScheduleKind kind = input.shape.kind;
    if (kind == ScheduleKind::zb_v || kind == ScheduleKind::dualpipe) continue;
    input.shape.micro_batches = std::max<int64_t>(input.shape.micro_batches, input.shape.stages);
    input.p2p_s = std::min(input.p2p_s, 0.3 * input.times[0].forward);
    INFO(text(input));
    const double error = pipeline_recurrence(input) / simulated(input) - 1;
    const bool shifts = kind == ScheduleKind::interleaved && input.p2p_in_line;
    CHECK(std::abs(error) <= (kind == ScheduleKind::zb_h1 ? 0.06 : shifts ? 0.05 : 0.03));
    if (kind == ScheduleKind::zb_h1) continue;
    sum += std::abs(error);
    ++count;
  }
  CHECK(sum / count < 0.001);
}

TEST_CASE("the recurrence where only the first and last chunk differ, as with embedding and head") {
  Draw draw(31);
  double sum = 0;
  int count = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    PipelineInput input = draw.input(0, 100);
    const ScheduleKind kind = input.shape.kind;
    if (kind != ScheduleKind::one_f_one_b && kind != ScheduleKind::interleaved) continue;
    input.shape.micro_batches = std::max<int64_t>(input.shape.micro_batches, input.shape.stages);
    input.p2p_s = std::min(input.p2p_s, 0.3 * input.times[0].forward);
    for (ChunkTimes* times : {&input.times.front(), &input.times.back()}) {
      const double factor = draw.real(0.6, 1.4);
      times->forward *= factor;
      times->backward *= factor;
    }
    INFO(text(input));
    const double error = pipeline_recurrence(input) / simulated(input) - 1;
    CHECK(std::abs(error) <= (kind == ScheduleKind::interleaved ? 0.12 : 0.03));
    sum += std::abs(error);
    ++count;
  }
  CHECK(sum / count < 0.01);
}

TEST_CASE("1F1B pays for p2p even beside compute: a round trip per `stages` micro-batches") {
  // 4 stages, 9 micro-batches, F 1, B 2, p2p 0.1: three round trips of 4 * 3 + 2 * 3 * 0.1.
  PipelineInput input;
  input.shape = {ScheduleKind::one_f_one_b, 4, 1, 9};
  input.times.assign(4, {1, 2});
  input.p2p_s = 0.1;
  CHECK(simulated(input) == Approx(37.8));
  CHECK(pipeline_lower_bound(input) == Approx(37.8));
  CHECK(pipeline_recurrence(input) == Approx(37.8));
}
