// SPDX-License-Identifier: Apache-2.0
#include "costmodel/timeline/pipeline_time.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "costmodel/timeline/pipeline_engine.hpp"

namespace meshplan {

namespace {

using timeline::Execution;

/// How the steady part of a schedule repeats, in micro-batches of one direction.
struct Steady {
  int64_t period;      ///< the order is the same again after so many
  int64_t span;        ///< no action depends on one further back than this
  int64_t directions;  ///< micro-batches of the shape per micro-batch of one direction
};

/// Empty: the order has no repeating part (gpipe, breadth-first), or one whose rounds change their
/// size with the number of micro-batches.
std::optional<Steady> steady_part(const ScheduleShape& shape) {
  switch (shape.kind) {
    case ScheduleKind::gpipe:
      return std::nullopt;
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::zb_h1:
      return Steady{1, shape.stages, 1};
    case ScheduleKind::zb_v:
      return Steady{1, int64_t{2} * shape.stages, 1};
    case ScheduleKind::dualpipe:
      return Steady{1, shape.stages, 2};
    case ScheduleKind::interleaved: {
      const Rounds rounds = rounds_of(shape);
      const int64_t asked = shape.group == 0 ? shape.stages : shape.group;
      if (rounds.first_size != asked) return std::nullopt;
      return Steady{asked, 4 * asked, 1};
    }
  }
  return std::nullopt;
}

Result<Execution> run(PipelineInput& input, int64_t micro_batches) {
  input.shape.micro_batches = micro_batches;
  MESHPLAN_TRY(const std::vector<StageSchedule> schedule, make_schedule(input.shape));
  return timeline::execute(input, schedule, false);
}

/// The smallest number of periods after which every action of the last `span` micro-batches before
/// the ramp down comes again later by one and the same time; 0: none up to `most`.
int64_t cycle_of(const Execution& execution, const ScheduleShape& shape, const Steady& steady,
                 int64_t most) {
  const int64_t m = shape.micro_batches;
  const double tolerance = 1e-12 * execution.result.total_s;
  const int64_t window = steady.span + steady.period;
  const auto repeats = [&](int64_t cycle) {
    const int64_t back = cycle * steady.period;
    std::optional<double> shift;
    for (int stage = 0; stage < shape.stages; ++stage)
      for (int chunk = 0; chunk < shape.chunks; ++chunk) {
        const int64_t last = micro_batches_of(shape, chunk).last;
        const int64_t base = (int64_t{stage} * shape.chunks + chunk) * m;
        for (int64_t i = 1; i <= window; ++i)
          for (const auto* ends : {&execution.forward_end, &execution.gradient_end}) {
            const bool gradient = ends == &execution.gradient_end;
            const int64_t at = base + last - i - (gradient ? steady.span : 0);
            const double step =
                (*ends)[static_cast<size_t>(at)] - (*ends)[static_cast<size_t>(at - back)];
            if (!shift) shift = step;
            if (std::abs(step - *shift) > tolerance) return false;
          }
      }
    return true;
  };
  for (int64_t cycle = 1; cycle <= most; ++cycle)
    if (repeats(cycle)) return cycle;
  return 0;
}

}  // namespace

Result<PipelineResult> simulate_pipeline(const PipelineInput& input,
                                         const std::vector<StageSchedule>& schedule, bool trace) {
  MESHPLAN_TRY(Execution execution, timeline::execute(input, schedule, trace));
  return std::move(execution.result);
}

Result<PipelineResult> simulate_pipeline(const PipelineInput& input) {
  MESHPLAN_CHECK(check_shape(input.shape));
  PipelineInput part = input;
  const int64_t m = input.shape.micro_batches;
  if (const auto steady = steady_part(input.shape)) {
    const int64_t period = steady->period * steady->directions;
    int64_t cycles = int64_t{2} * input.shape.stages;
    for (int64_t warm = 3 * steady->span + 2 * steady->period;; warm *= 2) {
      // As many micro-batches as are left over, so that the last rounds are the same.
      const int64_t least = warm + cycles * steady->period;
      const int64_t first = m % period + (least / steady->period + 1) * period;
      if (2 * first + 2 * cycles * period > m) break;
      MESHPLAN_TRY(const Execution seen, run(part, first));
      const int64_t cycle = cycle_of(seen, part.shape, *steady, cycles);
      if (cycle == 0) continue;
      const int64_t stride = cycle * period;
      const int64_t from = first + (m - first) % stride;
      MESHPLAN_TRY(Execution low, run(part, from));
      MESHPLAN_TRY(const Execution high, run(part, from + stride));
      const int64_t strides = (m - from) / stride;
      const auto times = static_cast<double>(strides);
      PipelineResult& result = low.result;
      const auto extend = [&](double& value, double later) { value += times * (later - value); };
      extend(result.total_s, high.result.total_s);
      for (size_t stage = 0; stage < result.busy_s.size(); ++stage) {
        extend(result.busy_s[stage], high.result.busy_s[stage]);
        extend(result.p2p_s[stage], high.result.p2p_s[stage]);
      }
      timeline::attribute(result);
      return std::move(result);
    }
  }
  MESHPLAN_TRY(Execution full, run(part, m));
  return std::move(full.result);
}

}  // namespace meshplan
