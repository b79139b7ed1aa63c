// SPDX-License-Identifier: Apache-2.0
// How long does one step of this plan take on this cluster, and does it fit? One plan, in full: the
// schedule is simulated action by action.
#pragma once
#include "costmodel/step/compose.hpp"
#include "costmodel/step/step.hpp"
#include "costmodel/timeline/pipeline_time.hpp"

namespace meshplan {

/// What the estimate was computed from; for traces and explanations.
struct StepDetail {
  BlockLayout layout;
  std::vector<StagePrice> stages;
  PipelineInput pipeline;
  PipelineResult timeline;  ///< with its trace when asked for
};

struct EstimateOptions {
  FlopsConvention convention = FlopsConvention::causal;
  bool check_rules = true;
  StepDetail* detail = nullptr;
  bool trace = false;
};

/// Errors: no_plan (a rule refuses the plan), usage (bad rank order of the trainer).
Result<StepEstimate> estimate_step(const CostModel& costs, const Model& model, const Plan& plan,
                                   const Batch& batch, const Trainer& trainer,
                                   const EstimateOptions& options = {});

/// The same with the cost model loaded on the way; for single questions.
Result<StepEstimate> estimate_step(const Model& model, const Plan& plan, const Batch& batch,
                                   const Trainer& trainer, const Cluster& cluster,
                                   const EstimateOptions& options = {});

/// Peak device memory of every stage, and of the fullest one the parts.
struct MemoryEstimate {
  int64_t peak_bytes = 0;
  int64_t reported_bytes = 0;  ///< by Trainer::memory_report
  int64_t capacity_bytes = 0;
  int64_t host_bytes = 0;           ///< of the rank that keeps most on the host
  int64_t host_capacity_bytes = 0;  ///< a GPU's share of its node; 0: not known
  int stage = 0;
  std::vector<Part> parts;
  bool fits_device() const { return peak_bytes <= capacity_bytes; }
  bool fits() const {
    return fits_device() && (host_capacity_bytes == 0 || host_bytes <= host_capacity_bytes);
  }
};
/// One stage as it is compared with the others.
struct HeldStage {
  int stage;
  int64_t activations;  ///< peak_saved of its schedule
  int64_t temporary;    ///< largest_temporary of its chunks
  int64_t on_host;      ///< bytes_on_host of its chunks
  int64_t received;     ///< received_bytes
  const BlockMemory* states;
};
/// Buffers for what neighbours send to a stage, see Trainer::pipeline_receives_kept.
int64_t received_bytes(const LowerContext& lower, const ScheduleShape& shape, int stage);
/// `stages`: equal stages after the first may be left out where later stages have fewer
/// micro-batches in flight.
MemoryEstimate memory_of(const std::vector<HeldStage>& stages, const Plan& plan,
                         int64_t micro_batches, const Trainer& trainer, const Cluster& cluster,
                         const Constants& constants);

}  // namespace meshplan
