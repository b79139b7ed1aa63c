// SPDX-License-Identifier: Apache-2.0
#include "costmodel/timeline/pipeline_engine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "strategies/schedule/check.hpp"

namespace meshplan::timeline {

namespace {

constexpr double kNotYet = -1;

class Engine {
 public:
  Engine(const PipelineInput& input, const std::vector<StageSchedule>& schedule, bool trace)
      : input_(input),
        schedule_(schedule),
        trace_(trace),
        in_line_(input.p2p_in_line && !input.p2p_overlapped),
        stages_(static_cast<size_t>(input.shape.stages)),
        chunks_(static_cast<size_t>(input.shape.chunks)),
        micro_batches_(static_cast<size_t>(input.shape.micro_batches)),
        next_(stages_, 0),
        free_(stages_, 0.0),
        forwards_(stages_ * chunks_, 0),
        links_(stages_ * chunks_) {
    out_.forward_end.assign(stages_ * chunks_ * micro_batches_, kNotYet);
    out_.gradient_end = out_.forward_end;
    out_.result.busy_s.assign(stages_, 0.0);
    out_.result.p2p_s.assign(stages_, 0.0);
    left_.reserve(stages_ * chunks_);
    for (int stage = 0; stage < input.shape.stages; ++stage)
      for (int16_t chunk = 0; chunk < input.shape.chunks; ++chunk) {
        const MicroBatchRange range = micro_batches_of(input.shape, chunk);
        left_.push_back(range.last - range.first);
        Link& link = links_[left_.size() - 1];
        link.before = sender_of(input.shape, stage, {Work::forward, 0, chunk});
        link.after = receiver_of(input.shape, stage, {Work::forward, 0, chunk});
      }
  }

  Result<Execution> run() {
    std::vector<int> awake;
    for (int stage = input_.shape.stages - 1; stage >= 0; --stage) awake.push_back(stage);
    while (!awake.empty()) {
      const int stage = awake.back();
      awake.pop_back();
      const StageSchedule& list = schedule_[static_cast<size_t>(stage)];
      for (size_t& i = next_[static_cast<size_t>(stage)]; i < list.size(); ++i) {
        if (!step(stage, list[i])) break;
        const auto& to = receiver(stage, list[i]);
        if (to && to->stage != stage && (awake.empty() || awake.back() != to->stage))
          awake.push_back(to->stage);
      }
    }
    for (size_t stage = 0; stage < stages_; ++stage)
      if (next_[stage] < schedule_[stage].size()) {
        Status why = check_schedule(input_.shape, schedule_);
        if (!why.ok()) return std::move(why).error();
        return Diagnostic{.message = "the simulation stands still though the schedule is sound",
                          .where = fmt::format("stage {}", stage)};
      }
    out_.result.total_s = *std::max_element(free_.begin(), free_.end());
    attribute(out_.result);
    return std::move(out_);
  }

 private:
  struct Link {
    std::optional<Place> before, after;  ///< previous and next virtual stage
  };

  size_t slot(int stage, int chunk) const {
    return static_cast<size_t>(stage) * chunks_ + static_cast<size_t>(chunk);
  }
  size_t index(Place place, int32_t micro_batch) const {
    return slot(place.stage, place.chunk) * micro_batches_ + static_cast<size_t>(micro_batch);
  }
  const std::optional<Place>& receiver(int stage, const Action& action) const {
    static const std::optional<Place> nobody;
    if (action.work == Work::weight_gradient) return nobody;
    const Link& link = links_[slot(stage, action.chunk)];
    return action.work == Work::forward ? link.after : link.before;
  }

  /// Executes one action if what it needs is there.
  bool step(int stage, const Action& action) {
    const size_t at = slot(stage, action.chunk);
    const size_t own = at * micro_batches_ + static_cast<size_t>(action.micro_batch);
    const bool forward = action.work == Work::forward;
    const bool weight = action.work == Work::weight_gradient;
    double arrival = 0;
    bool remote = false;
    if (weight) {
      if (out_.gradient_end[own] == kNotYet) return false;
    } else {
      if (!forward && out_.forward_end[own] == kNotYet) return false;
      const auto& from = forward ? links_[at].before : links_[at].after;
      if (from) {
        const auto& ends = forward ? out_.forward_end : out_.gradient_end;
        arrival = ends[index(*from, action.micro_batch)];
        if (arrival == kNotYet) return false;
        remote = from->stage != stage;
        if (remote && !in_line_) arrival += input_.p2p_s;
      }
    }
    const auto here = static_cast<size_t>(stage);
    double& free = free_[here];
    const double start = std::max(free, arrival) + (remote && in_line_ ? input_.p2p_s : 0);
    if (remote) out_.result.p2p_s[here] += std::min(start - free, input_.p2p_s);
    const double work = duration(at, action);
    const double end = start + work;
    out_.result.busy_s[here] += work;
    if (!weight) (forward ? out_.forward_end : out_.gradient_end)[own] = end;
    if (trace_) out_.result.trace.push_back({stage, action, start, end});
    free = end;
    if (!input_.p2p_overlapped) {
      const auto& to = receiver(stage, action);
      if (to && to->stage != stage) {
        free += input_.p2p_s;
        out_.result.p2p_s[here] += input_.p2p_s;
      }
    }
    const bool finishes = action.work == Work::backward || weight;
    if (finishes && --left_[at] == 0 && !input_.last_backward_s.empty()) {
      free += input_.last_backward_s[at];
      out_.result.busy_s[here] += input_.last_backward_s[at];
    }
    return true;
  }

  double duration(size_t at, const Action& action) {
    const ChunkTimes& times = input_.times[at];
    switch (action.work) {
      case Work::forward:
        if (forwards_[at]++ == 0 && !input_.first_forward_s.empty())
          return times.forward + input_.first_forward_s[at];
        return times.forward;
      case Work::backward:
        return times.backward;
      case Work::input_gradient:
        return times.input_gradient;
      case Work::weight_gradient:
        return times.weight_gradient;
    }
    return 0;
  }

  const PipelineInput& input_;
  const std::vector<StageSchedule>& schedule_;
  bool trace_, in_line_;
  size_t stages_, chunks_, micro_batches_;
  std::vector<size_t> next_;
  std::vector<double> free_;
  std::vector<int64_t> forwards_, left_;
  std::vector<Link> links_;
  Execution out_;
};

}  // namespace

Result<Execution> execute(const PipelineInput& input, const std::vector<StageSchedule>& schedule,
                          bool trace) {
  MESHPLAN_CHECK(check_shape(input.shape));
  const auto slots =
      static_cast<size_t>(input.shape.stages) * static_cast<size_t>(input.shape.chunks);
  const auto fits = [&](const std::vector<double>& v) { return v.empty() || v.size() == slots; };
  if (input.times.size() != slots || !fits(input.first_forward_s) || !fits(input.last_backward_s) ||
      schedule.size() != static_cast<size_t>(input.shape.stages))
    return Diagnostic{.message = "pipeline times do not have the shape of the schedule",
                      .where = "simulate_pipeline",
                      .value = fmt::format("{} times for {} chunks", input.times.size(), slots)};
  return Engine(input, schedule, trace).run();
}

void attribute(PipelineResult& result) {
  result.idle_s.resize(result.busy_s.size());
  for (size_t stage = 0; stage < result.busy_s.size(); ++stage)
    result.idle_s[stage] = result.total_s - result.busy_s[stage] - result.p2p_s[stage];
  const auto busiest = std::max_element(result.busy_s.begin(), result.busy_s.end());
  const auto at = static_cast<size_t>(busiest - result.busy_s.begin());
  result.critical_stage = static_cast<int>(at);
  result.compute_s = result.busy_s[at];
  result.exposed_p2p_s = result.p2p_s[at];
  result.bubble_s = result.idle_s[at];
}

}  // namespace meshplan::timeline
