// SPDX-License-Identifier: Apache-2.0
// What does one pipeline stage cost, composed of priced blocks?
#pragma once
#include <vector>

#include "costmodel/step/chain.hpp"
#include "costmodel/step/cost_model.hpp"
#include "costmodel/timeline/pipeline_time.hpp"
#include "strategies/schedule/memory.hpp"

namespace meshplan {

/// What one stage keeps on the device.
struct StageMemory {
  std::vector<ChunkBytes> chunks;  ///< activations of one micro-batch
  BlockMemory states;              ///< its state half; gathered: what stays for the whole step
};
/// One chunk of one stage, per micro-batch; gathers and reductions that happen in every micro-batch
/// are in it as far as they are exposed.
struct ChunkPrice {
  PhaseTime forward, backward, weight;
};

struct StagePrice {
  std::vector<ChunkPrice> chunks;
  double gather_s = 0;  ///< once a step: exposed before or within the first forward
  double reduce_s = 0;  ///< once a step: exposed after the last backward
  PhaseTime update;     ///< once a step
  StageMemory memory;
};

/// Priced blocks by index of BlockLayout::kinds.
struct PricedKinds {
  std::vector<const PassPrice*> passes;
  std::vector<const StatePrice*> states;
};

/// The two halves of StageMemory. Chunks depend on the states only where whole weights or gradients
/// come and go (zero 2 and 3).
std::vector<ChunkBytes> stage_chunks(const Stage& stage, const PricedKinds& prices,
                                     const Trainer& trainer);
BlockMemory stage_states(const Stage& stage, const PricedKinds& prices);
/// What is gathered or reduced once a step hides behind the chunk's own passes and, where chunks
/// take turns (`shape` interleaved), behind the other micro-batches of the round before or after.
StagePrice compose_stage(const Stage& stage, const PricedKinds& prices, const Trainer& trainer,
                         const ScheduleShape& shape, double overlap_slowdown);

/// Seconds that each pass of a chunk ends with where the ranks of a stage agree on the scales of
/// 8-bit tensors (Trainer::scales_agreed_by_stage); else 0.
double scale_agreement_s(const CostModel& costs, const LowerContext& lower, const PlanLinks& links);

/// What the schedule is simulated with. `stages`: one pointer per stage, equal stages may share.
PipelineInput pipeline_input(const CostModel& costs, const LowerContext& lower,
                             const PlanLinks& links, const std::vector<const StagePrice*>& stages);

/// What comes after the last micro-batch; seconds.
struct StepEnd {
  double optimizer = 0;   ///< slowest stage
  double norm = 0;        ///< global gradient norm
  double tied = 0;        ///< sum of the tied embedding's gradients
  double stragglers = 0;  ///< waiting for the slowest rank
  double overhead = 0;    ///< host work once a step
  double sum() const { return optimizer + norm + tied + stragglers + overhead; }
};
/// timeline_s: of the schedule.
StepEnd step_end(const CostModel& costs, const LowerContext& lower, const PlanLinks& links,
                 const std::vector<const StagePrice*>& stages, double timeline_s);

}  // namespace meshplan
