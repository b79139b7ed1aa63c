// SPDX-License-Identifier: Apache-2.0
// How long does one optimizer step take under this plan, where does the time go, and does it fit?
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "strategies/plan/plan.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

/// One term of a sum, in the unit of the sum.
struct Part {
  std::string name;
  double value;
};

struct StepEstimate {
  Plan plan;
  Batch batch;

  double step_s = 0;      ///< seconds of one optimizer step
  double step_low_s = 0;  ///< 80 % interval, learnt from the published runs
  double step_high_s = 0;
  std::vector<Part> time;  ///< seconds; sums to step_s
  double tokens_per_s_per_gpu = 0;
  double tflops_per_gpu = 0;  ///< model FLOPs, see FlopsConvention
  double mfu = 0;             ///< of the GPU's dense peak in the plan's compute type

  int64_t peak_memory_bytes = 0;  ///< of the fullest rank, all that the device reports as used
  int64_t peak_low_bytes = 0;     ///< 80 % interval, learnt from the published runs
  int64_t peak_high_bytes = 0;
  int64_t reported_memory_bytes = 0;  ///< of the same rank, what the trainer's own log prints: see
                                      ///< MemoryReport
  int64_t capacity_bytes = 0;         ///< what a process can have of the device
  int peak_stage = 0;                 ///< pipeline stage of the fullest rank
  std::vector<Part> memory;           ///< bytes; sums to peak_memory_bytes
  int64_t host_memory_bytes = 0;      ///< that a rank keeps on the host (offload)
  int64_t host_capacity_bytes = 0;    ///< a GPU's share of its node's; 0: not known
  bool fits = true;

  double bubble_share = 0;  ///< idle time of the schedule over step_s
  std::string limited_by;   ///< largest removable part of the time, in words
  std::vector<std::string> assumptions;
  std::vector<std::string> not_modelled;
};

}  // namespace meshplan
