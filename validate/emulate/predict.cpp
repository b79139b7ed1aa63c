// SPDX-License-Identifier: Apache-2.0
#include "validate/emulate/predict.hpp"

#include <algorithm>

#include "costmodel/cpu/cpu_profile.hpp"

namespace meshplan {
namespace {

using Price = std::function<Result<double>(const Op&)>;

Result<double> sum_over_stage(const Program& program, int stage, const Price& price) {
  double sum = 0;
  for (size_t c = 0; c < program.stages[static_cast<size_t>(stage)].chunks.size(); ++c) {
    const MicroBatchRange range = micro_batches_of(program.schedule, static_cast<int>(c));
    const auto passes = static_cast<double>(range.last - range.first);
    for (const BlockRun& run : program.stages[static_cast<size_t>(stage)].chunks[c].runs) {
      const Block& block = program.blocks[static_cast<size_t>(run.block)];
      for (const Phase phase : {Phase::forward, Phase::backward, Phase::weight, Phase::update}) {
        const double times = run.count * (phase == Phase::update ? 1 : passes);
        for (const Op& op : block.ops(phase)) {
          if (std::holds_alternative<Collective>(op.body)) continue;
          MESHPLAN_TRY(const double seconds, price(op));
          sum += times * seconds;
        }
      }
    }
  }
  return sum;
}

}  // namespace

Result<double> predict_compute(const Program& program, int stage,
                               const std::optional<CpuProfile>& profile, const CostModel& costs,
                               const PlanLinks& links) {
  if (!profile) {
    const PriceContext context = costs.context(program.plan, program.trainer, links);
    // as in a step estimate: kernels of a step take longer than in benchmarks
    return sum_over_stage(program, stage, [&](const Op& op) -> Result<double> {
      return context.kernel_slowdown * price(op, context).seconds;
    });
  }
  const CpuTables& tables = profile->of(1);
  return sum_over_stage(program, stage, [&](const Op& op) -> Result<double> {
    if (std::holds_alternative<GradientNorm>(op.body)) return 0.0;  // in cpu_update
    const auto* step = std::get_if<OptimizerStep>(&op.body);
    if (step == nullptr) return tables.seconds(cpu_work(op.body));
    double sum = 0;
    for (const CpuWork& work : cpu_update(static_cast<double>(step->elements))) {
      MESHPLAN_TRY(const double seconds, tables.seconds(work));
      sum += seconds;
    }
    return sum;
  });
}

double predict_call(const LoneCall& call, const CostModel& costs, const PlanLinks& links) {
  const GroupLinks* group = nullptr;
  for (int g = 0; g < kGroups; ++g) {
    if (call.label == name_of(static_cast<Group>(g))) group = &links.links[static_cast<size_t>(g)];
  }
  if (group == nullptr) return 0;
  const auto bytes = static_cast<double>(call.request.bytes);
  const CollectiveModel& model = costs.collectives();
  switch (call.request.transfer) {
    case Transfer::all_reduce:
      return model.time(CollectiveOp::all_reduce, bytes, *group).seconds;
    case Transfer::all_gather:
      return model.time(CollectiveOp::all_gather, bytes * call.size, *group).seconds;
    case Transfer::reduce_scatter:
      return model.time(CollectiveOp::reduce_scatter, bytes * call.size, *group).seconds;
    case Transfer::all_to_all:
      if (!call.request.send_bytes.empty()) {  // one piece to one other rank
        const auto& sent = call.request.send_bytes;
        return model.p2p(static_cast<double>(*std::max_element(sent.begin(), sent.end())), *group)
            .seconds;
      }
      return model.time(CollectiveOp::all_to_all, bytes * call.size, *group).seconds;
    case Transfer::ring_exchange:
      return model.time(CollectiveOp::ring_exchange, bytes, *group).seconds;
    case Transfer::receive:
      return model.p2p(bytes, *group).seconds;
    case Transfer::send:
    case Transfer::broadcast:
    case Transfer::barrier:
      return 0;
  }
  return 0;
}

}  // namespace meshplan
