// SPDX-License-Identifier: Apache-2.0
// How long should the executor take for a step on this CPU, and how long does it take?
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "costmodel/cpu/cpu_profile.hpp"
#include "strategies/program/program.hpp"

namespace meshplan {

struct CpuStepTime {
  double seconds = 0;
  double pipeline_s = 0;  ///< schedule of forward and backward passes, with what the parts below do
                          ///< in every micro-batch
  double gather_s = 0;    ///< parameters, once a step (slowest stage)
  double reduce_s = 0;    ///< gradients, once a step (slowest stage)
  double update_s = 0;    ///< gradient norm and AdamW (slowest stage)
};

/// The step program priced by a CPU profile: operations one after the other, as the executor runs
/// them, stages by the schedule. Error (input): the profile lacks a kernel.
Result<CpuStepTime> predict_cpu_step(const Program& program, const CpuProfile& profile);

struct TimedPlan {
  std::string plan;
  int64_t ranks = 1;
  double predicted_s = 0;
  double measured_s = 0;  ///< shortest step of all rounds; of one rank in processor time
  double error() const { return predicted_s / measured_s - 1; }
};
struct TimingReport {
  CpuProfile profile;  ///< that the prediction is from
  std::vector<TimedPlan> plans;
  double mean_error = 0;  ///< of |predicted / measured - 1|
  double tau = 0;         ///< Kendall's tau-b between predicted and measured times
};

/// Every point of `best` that `other`, measured with the same options, took less time for. What
/// else runs on a computer only ever makes a measurement longer. An empty `best` becomes `other`.
Status keep_faster(CpuProfile& best, const CpuProfile& other);

struct TimingOptions {
  int steps = 4;   ///< of each plan and round
  int rounds = 3;  ///< all kernels, then all plans, and again
  double seconds_per_point = 0.02;
  std::function<void(const std::string&)> progress;  ///< may be empty
};
/// Runs a fixed set of plans of one and two ranks here and compares. given: nothing to measure the
/// kernels in turns with the plans.
Result<TimingReport> compare_cpu_times(const std::optional<CpuProfile>& given,
                                       const TimingOptions& options);

}  // namespace meshplan
