// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "costmodel/step/estimate.hpp"
#include "planner/scale/scale.hpp"

namespace meshplan {
namespace {

double network(const PhaseTime& time, std::initializer_list<Group> groups) {
  double sum = 0;
  for (const Group group : groups) sum += time.network[static_cast<size_t>(group)];
  return sum;
}

double part(const StepEstimate& step, const char* name) {
  for (const Part& p : step.time) {
    if (p.name == name) return p.value;
  }
  return 0;
}

/// Gathers and reductions that do not happen in every micro-batch; those that do are part of the
/// chunks.
Result<double> once_a_step(const CostModel& costs, const LowerContext& lower,
                           const StepDetail& detail, size_t stage) {
  MESHPLAN_TRY(const PlanLinks links, costs.links(lower.plan, lower.trainer));
  const PriceContext context = costs.context(lower.plan, lower.trainer, links);
  const ScheduleShape& shape = detail.pipeline.shape;
  const bool interleaved = shape.kind == ScheduleKind::interleaved;
  const Rounds rounds = interleaved ? rounds_of(shape) : Rounds{1, 1, 0, 0};
  double sum = 0;
  for (const Chunk& chunk : detail.layout.stages[stage].chunks) {
    for (const BlockRun& run : chunk.runs) {
      Block block =
          costs.price_passes(lower, detail.layout.kinds[static_cast<size_t>(run.block)], context)
              .bare;
      lay_out_states(lower, block);
      const StatePrice price = costs.price_states(lower, block, context);
      double each = 0;
      if (price.gather_when != When::each_micro_batch) each += price.gather.wall;
      if (price.reduce_when == When::each_round)
        each += price.reduce.wall * static_cast<double>(rounds.first_count + rounds.rest_count);
      else if (price.reduce_when != When::each_micro_batch)
        each += price.reduce.wall;
      sum += each * static_cast<double>(run.count);
    }
  }
  return sum;
}

}  // namespace

Result<std::vector<AxisTime>> communication_of(const CostModel& costs, const Model& model,
                                               const Trainer& trainer, const StepEstimate& step) {
  const Plan& plan = step.plan;
  StepDetail detail;
  MESHPLAN_TRY(const StepEstimate again, estimate_step(costs, model, plan, step.batch, trainer,
                                                       {FlopsConvention::causal, false, &detail}));
  const auto critical = static_cast<size_t>(detail.timeline.critical_stage);
  const StagePrice& stage = detail.stages[critical];
  PhaseTime work;
  double sends = 0;
  for (size_t c = 0; c < stage.chunks.size(); ++c) {
    const MicroBatchRange range = micro_batches_of(detail.pipeline.shape, static_cast<int>(c));
    const auto n = static_cast<double>(range.last - range.first);
    work += stage.chunks[c].forward.scaled(n);
    work += stage.chunks[c].backward.scaled(n);
    work += stage.chunks[c].weight.scaled(n);
    sends += 2 * n;
  }
  const LowerContext lower{model, plan, step.batch, trainer};
  MESHPLAN_TRY(const double once, once_a_step(costs, lower, detail, critical));
  std::vector<AxisTime> out;
  const auto add = [&](const char* axis, const char* name, double all) {
    const double exposed = part(again, name);
    if (exposed > 0 || all > 0) out.push_back({axis, exposed, std::max(0.0, all - exposed)});
  };
  add("tensor", "tensor parallel, exposed", network(work, {Group::tp}));
  add("context", "context parallel, exposed", network(work, {Group::cp}));
  add("expert", "expert parallel, exposed", network(work, {Group::ep, Group::etp}));
  add("data", "data parallel, exposed",
      once + network(work, {Group::shard, Group::replicate, Group::expert_shard,
                            Group::expert_replicate}));
  add("8-bit scales", "8-bit scales, exposed", 0);
  add("pipeline", "pipeline transfers, exposed", plan.pp > 1 ? sends * detail.pipeline.p2p_s : 0);
  return out;
}

}  // namespace meshplan
