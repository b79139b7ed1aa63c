// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/sources.hpp"

#include <array>

#include "costmodel/step/op_price.hpp"

namespace meshplan {
namespace {

class Sum {
 public:
  void add(const Block& block, Phase phase, const PriceContext& context, double times) {
    for (const Op& op : block.ops(phase)) {
      const OpPrice one = price(op, context);
      TimeSource& of = by_[static_cast<size_t>(one.provenance)];
      of.share += times * one.seconds;
      of.relative_error += times * one.seconds * one.relative_error;
    }
  }
  std::vector<TimeSource> shares() const {
    double all = 0;
    for (const TimeSource& of : by_) all += of.share;
    std::vector<TimeSource> out;
    for (size_t i = 0; i < by_.size(); ++i)
      if (by_[i].share > 0)
        out.push_back(
            {static_cast<Provenance>(i), by_[i].share / all, by_[i].relative_error / by_[i].share});
    return out;
  }

 private:
  std::array<TimeSource, 5> by_ = {};  // seconds until shares(), by Provenance
};

}  // namespace

Result<std::vector<TimeSource>> time_sources(const CostModel& costs, const LowerContext& lower) {
  const auto micro_batches = static_cast<double>(lower.batch.micro_batches(lower.plan));
  MESHPLAN_TRY(const BlockLayout layout,
               lay_out_blocks(lower.model, lower.plan, lower.batch.micro_batches(lower.plan)));
  MESHPLAN_TRY(const PlanLinks links, costs.links(lower.plan, lower.trainer));
  const PriceContext context = costs.context(lower.plan, lower.trainer, links);
  std::vector<double> counts(layout.kinds.size());
  for (const Stage& stage : layout.stages)
    for (const Chunk& chunk : stage.chunks)
      for (const BlockRun& run : chunk.runs) counts[static_cast<size_t>(run.block)] += run.count;
  Sum sum;
  for (size_t k = 0; k < layout.kinds.size(); ++k) {
    const BlockKind& kind = layout.kinds[k];
    Block block = lower_block(lower, kind);
    lay_out_states(lower, block);
    PriceContext own = context;
    own.scans = lower.model.sublayers > 0 && kind.window > 0;
    const auto times = [&](When when) {
      return when == When::each_micro_batch ? counts[k] * micro_batches : counts[k];
    };
    for (const Phase phase : {Phase::forward, Phase::backward, Phase::weight})
      sum.add(block, phase, own, counts[k] * micro_batches);
    if (block.gather_when != When::never)
      sum.add(block, Phase::gather, context, times(block.gather_when));
    if (block.reduce_when != When::never)
      sum.add(block, Phase::reduce, context, times(block.reduce_when));
    sum.add(block, Phase::update, context, counts[k]);
  }
  return sum.shares();
}

}  // namespace meshplan
