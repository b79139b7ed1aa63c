// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/estimate.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

#include "costmodel/step/not_modelled.hpp"
#include "strategies/rules/rules.hpp"

namespace meshplan {
namespace {

struct Prices {
  std::deque<PassPrice> passes;
  std::deque<StatePrice> states;
  PricedKinds kinds;
};

Prices price_all(const CostModel& costs, const LowerContext& lower, const PriceContext& context,
                 const BlockLayout& layout) {
  Prices prices;
  for (const BlockKind& kind : layout.kinds) {
    prices.passes.push_back(costs.price_passes(lower, kind, context));
    prices.kinds.passes.push_back(&prices.passes.back());
    Block states = prices.passes.back().bare;
    lay_out_states(lower, states);
    prices.states.push_back(costs.price_states(lower, states, context));
    prices.kinds.states.push_back(&prices.states.back());
  }
  return prices;
}

constexpr const char* kProducts = "matrix products";
constexpr const char* kAttention = "attention";

struct Breakdown {
  std::vector<Part> parts;
  double sum = 0;
  void add(const char* name, double seconds) {
    if (std::abs(seconds) < 1e-9) return;  // rounding of what cancels
    parts.push_back({name, seconds});
    sum += seconds;
  }
};

/// The largest term that another plan could avoid; arithmetic, which every plan has to do, is named
/// first where it is larger.
std::string limit(const std::vector<Part>& parts) {
  double arithmetic = 0;
  const Part* largest = nullptr;
  for (const Part& part : parts) {
    if (part.name == kProducts || part.name == kAttention) {
      arithmetic += part.value;
    } else if (largest == nullptr || part.value > largest->value) {
      largest = &part;
    }
  }
  if (largest == nullptr) return "arithmetic";
  return arithmetic > largest->value ? "arithmetic, then " + largest->name : largest->name;
}

double exposed(const PhaseTime& time, std::initializer_list<Group> groups) {
  double sum = 0;
  for (const Group group : groups) sum += time.exposed[static_cast<size_t>(group)];
  return sum;
}

}  // namespace

Result<StepEstimate> estimate_step(const CostModel& costs, const Model& model, const Plan& plan,
                                   const Batch& batch, const Trainer& trainer,
                                   const EstimateOptions& options) {
  if (options.check_rules) {
    if (auto broken = violated(model, plan, batch, trainer)) return *std::move(broken);
  }
  const Constants& constants = costs.constants();
  StepDetail local;
  StepDetail& detail = options.detail != nullptr ? *options.detail : local;
  const int64_t micro_batches = batch.micro_batches(plan);
  MESHPLAN_TRY(detail.layout, lay_out_blocks(model, plan, micro_batches));
  MESHPLAN_TRY(const PlanLinks links, costs.links(plan, trainer));
  const LowerContext lower{model, plan, batch, trainer};
  const PriceContext context = costs.context(plan, trainer, links);
  const Prices prices = price_all(costs, lower, context, detail.layout);

  const ScheduleShape shape{plan.schedule, plan.pp, plan.vpp, micro_batches, plan.schedule_group};
  detail.stages.clear();
  for (const Stage& stage : detail.layout.stages) {
    detail.stages.push_back(
        compose_stage(stage, prices.kinds, trainer, shape, constants.overlap_slowdown));
  }
  std::vector<const StagePrice*> stages;
  for (const StagePrice& stage : detail.stages) stages.push_back(&stage);
  PipelineInput& input = detail.pipeline;
  input = pipeline_input(costs, lower, links, stages);
  if (options.trace) {
    MESHPLAN_TRY(const auto schedule, make_schedule(input.shape));
    MESHPLAN_TRY(detail.timeline, simulate_pipeline(input, schedule, true));
  } else {
    MESHPLAN_TRY(detail.timeline, simulate_pipeline(input));
  }

  StepEstimate estimate;
  estimate.plan = plan;
  estimate.batch = batch;
  const auto critical = static_cast<size_t>(detail.timeline.critical_stage);
  const StagePrice& stage = detail.stages[critical];
  PhaseTime work;
  double passes = 0;  // of all chunks, forward and backward
  for (size_t c = 0; c < stage.chunks.size(); ++c) {
    const MicroBatchRange range = micro_batches_of(input.shape, static_cast<int>(c));
    const auto n = static_cast<double>(range.last - range.first);
    work += stage.chunks[c].forward.scaled(n);
    work += stage.chunks[c].backward.scaled(n);
    work += stage.chunks[c].weight.scaled(n);
    passes += 2 * n;
  }
  Breakdown time;
  time.add(kProducts, work.gemm);
  time.add(kAttention, work.attention);
  time.add("memory-bound kernels", work.memory);
  time.add("launches", work.host);
  time.add("tensor parallel, exposed", exposed(work, {Group::tp}));
  time.add("context parallel, exposed", exposed(work, {Group::cp}));
  time.add("expert parallel, exposed", exposed(work, {Group::ep, Group::etp}));
  const size_t first = critical * stage.chunks.size();
  time.add("data parallel, exposed",
           exposed(work,
                   {Group::shard, Group::replicate, Group::expert_shard, Group::expert_replicate}) +
               input.first_forward_s[first] + input.last_backward_s[first]);
  time.add("slowdown beside collectives", work.slowdown);
  time.add("8-bit scales, exposed", passes * scale_agreement_s(costs, lower, links));
  time.add("pipeline transfers, exposed", detail.timeline.exposed_p2p_s);
  // What the timeline adds to its critical stage's work.
  const double bubble = detail.timeline.total_s - time.sum;
  time.add("pipeline bubble", bubble);
  const StepEnd end = step_end(costs, lower, links, stages, detail.timeline.total_s);
  time.add("optimizer", end.optimizer + end.norm);
  time.add("tied embedding gradients", end.tied);
  time.add("stragglers", end.stragglers);
  time.add("step overhead", end.overhead);
  estimate.time = std::move(time.parts);
  estimate.step_s = time.sum;
  const Cluster& cluster = costs.cluster();
  const BandClass of{trainer.family(), cluster.gpu.family, cluster.nodes > 1,
                     model.moe.has_value()};
  const Band band = costs.bands().step.band_for(of);
  estimate.step_low_s = estimate.step_s * band.low_ratio;
  estimate.step_high_s = estimate.step_s * band.high_ratio;
  estimate.bubble_share = bubble / estimate.step_s;

  const double tokens =
      static_cast<double>(batch.global_sequences) * static_cast<double>(batch.sequence);
  const auto gpus = static_cast<double>(plan.world());
  estimate.tokens_per_s_per_gpu = tokens / estimate.step_s / gpus;
  const double flops_per_s = estimate.tokens_per_s_per_gpu *
                             model_flops_per_token(model, batch.sequence, options.convention);
  estimate.tflops_per_gpu = flops_per_s / 1e12;
  const double peak = costs.cluster().gpu.peak_flops_per_s(plan.compute);
  estimate.mfu = peak > 0 ? flops_per_s / peak : 0;
  estimate.limited_by = limit(estimate.time);

  std::vector<HeldStage> held;
  for (const StagePrice& price : detail.stages) {
    const auto index = static_cast<int>(held.size());
    held.push_back({index, peak_saved(input.shape, index, price.memory.chunks),
                    largest_temporary(price.memory.chunks), bytes_on_host(price.memory.chunks),
                    received_bytes(lower, input.shape, index), &price.memory.states});
  }
  MemoryEstimate memory = memory_of(held, plan, micro_batches, trainer, costs.cluster(), constants);
  estimate.peak_memory_bytes = memory.peak_bytes;
  const Band peaks = costs.bands().memory.band_for(of);
  estimate.peak_low_bytes = std::llround(peaks.low_ratio * static_cast<double>(memory.peak_bytes));
  estimate.peak_high_bytes =
      std::llround(peaks.high_ratio * static_cast<double>(memory.peak_bytes));
  estimate.reported_memory_bytes = memory.reported_bytes;
  estimate.capacity_bytes = memory.capacity_bytes;
  estimate.peak_stage = memory.stage;
  estimate.memory = std::move(memory.parts);
  estimate.host_memory_bytes = memory.host_bytes;
  estimate.host_capacity_bytes = memory.host_capacity_bytes;
  estimate.fits = memory.fits();
  estimate.assumptions = model.assumptions;
  for (const auto* list : {&costs.cluster().assumed}) {
    estimate.assumptions.insert(estimate.assumptions.end(), list->begin(), list->end());
  }
  estimate.not_modelled = not_modelled(model, plan, trainer, costs.cluster());
  return estimate;
}

Result<StepEstimate> estimate_step(const Model& model, const Plan& plan, const Batch& batch,
                                   const Trainer& trainer, const Cluster& cluster,
                                   const EstimateOptions& options) {
  MESHPLAN_TRY(const Constants constants, load_constants());
  MESHPLAN_TRY(const auto costs, CostModel::load(cluster, constants));
  return estimate_step(*costs, model, plan, batch, trainer, options);
}

}  // namespace meshplan
