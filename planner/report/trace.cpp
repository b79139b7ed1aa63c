// SPDX-License-Identifier: Apache-2.0
#include "planner/report/trace.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace meshplan::report {
namespace {

constexpr double kMicro = 1e6;

Json metadata(const char* kind, int process, int thread, const std::string& name) {
  return {
      {"ph", "M"}, {"name", kind}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

/// Activations that the actions of a stage keep alive, in bytes, after each action.
class Alive {
 public:
  Alive(const StageMemory& memory, bool splits) : memory_(memory), splits_(splits) {}
  int64_t after(const Action& action) {
    const ChunkBytes& chunk = memory_.chunks[static_cast<size_t>(action.chunk)];
    switch (action.work) {
      case Work::forward:
        bytes_ += chunk.saved;
        break;
      case Work::backward:
        bytes_ -= chunk.saved;
        break;
      case Work::input_gradient:
        bytes_ += chunk.kept_for_weight - chunk.saved;
        break;
      case Work::weight_gradient:
        bytes_ -= splits_ ? chunk.kept_for_weight : 0;
        break;
    }
    return bytes_;
  }

 private:
  const StageMemory& memory_;
  bool splits_;
  int64_t bytes_ = 0;
};

}  // namespace

Json chrome_trace(const StepEstimate& e, const StepDetail& detail) {
  Json events = Json::array();
  const auto stages = static_cast<int>(detail.stages.size());
  std::vector<Alive> alive;
  for (int stage = 0; stage < stages; ++stage) {
    events.push_back(metadata("process_name", stage, 0, fmt::format("stage {}", stage)));
    events.push_back({{"ph", "M"},
                      {"name", "process_sort_index"},
                      {"pid", stage},
                      {"args", {{"sort_index", stage}}}});
    events.push_back(metadata("thread_name", stage, 0, "work"));
    alive.emplace_back(detail.stages[static_cast<size_t>(stage)].memory,
                       splits_backward(detail.pipeline.shape.kind));
  }
  std::vector<TimedAction> actions = detail.timeline.trace;
  std::stable_sort(actions.begin(), actions.end(), [](const auto& a, const auto& b) {
    return a.stage != b.stage ? a.stage < b.stage : a.start_s < b.start_s;
  });
  for (const TimedAction& timed : actions) {
    const Action& action = timed.action;
    events.push_back(
        {{"ph", "X"},
         {"name", fmt::format("{} {}", name_of(action.work), action.micro_batch)},
         {"cat", name_of(action.work)},
         {"pid", timed.stage},
         {"tid", 0},
         {"ts", timed.start_s * kMicro},
         {"dur", (timed.end_s - timed.start_s) * kMicro},
         {"args",
          {{"micro_batch", action.micro_batch},
           {"chunk", action.chunk},
           {"virtual_stage", virtual_stage(detail.pipeline.shape, timed.stage, action.chunk)}}}});
    events.push_back(
        {{"ph", "C"},
         {"name", "saved activations"},
         {"pid", timed.stage},
         {"ts", timed.end_s * kMicro},
         {"args", {{"bytes", alive[static_cast<size_t>(timed.stage)].after(action)}}}});
  }
  const double end = e.step_s - detail.timeline.total_s;
  for (int stage = 0; stage < stages; ++stage)
    events.push_back({{"ph", "X"},
                      {"name", "end of step"},
                      {"cat", "optimizer, gradient norm, stragglers, overhead"},
                      {"pid", stage},
                      {"tid", 0},
                      {"ts", detail.timeline.total_s * kMicro},
                      {"dur", end * kMicro}});
  return {{"displayTimeUnit", "ms"},
          {"otherData",
           {{"schema", "meshplan.trace/1"}, {"plan", to_text(e.plan)}, {"step_time_s", e.step_s}}},
          {"traceEvents", std::move(events)}};
}

}  // namespace meshplan::report
