// SPDX-License-Identifier: Apache-2.0
#include "validate/timing/cpu_step.hpp"

#include <algorithm>

#include "costmodel/timeline/pipeline_time.hpp"

namespace meshplan {
namespace {

/// Seconds of one block, once.
struct BlockTime {
  double gather = 0, forward = 0, backward = 0, weight = 0, reduce = 0, update = 0;
};

class Pricer {
 public:
  explicit Pricer(const CpuTables& tables) : tables_(tables) {}

  Result<double> ops(const std::vector<Op>& ops) const {
    double sum = 0;
    for (const Op& op : ops) {
      MESHPLAN_TRY(const double seconds, tables_.seconds(cpu_work(op.body)));
      sum += seconds;
    }
    return sum;
  }
  Result<double> of(const CpuWork& work) const { return tables_.seconds(work); }

  Result<BlockTime> block(const Block& block) const {
    BlockTime out;
    MESHPLAN_TRY(out.gather, ops(block.ops(Phase::gather)));
    MESHPLAN_TRY(out.forward, ops(block.ops(Phase::forward)));
    MESHPLAN_TRY(out.backward, ops(block.ops(Phase::backward)));
    MESHPLAN_TRY(out.weight, ops(block.ops(Phase::weight)));
    MESHPLAN_TRY(out.reduce, ops(block.ops(Phase::reduce)));
    for (const FlatState& flat : block.states) {
      const auto own = static_cast<double>(block.buffer(flat.gradient_shard).elements());
      for (const CpuWork& work : cpu_update(own)) {
        MESHPLAN_TRY(const double seconds, of(work));
        out.update += seconds;
      }
    }
    return out;
  }

 private:
  const CpuTables& tables_;
};

}  // namespace

Result<CpuStepTime> predict_cpu_step(const Program& program, const CpuProfile& profile) {
  const auto ranks = static_cast<int>(program.plan.world());
  const Pricer pricer(profile.of(ranks));
  std::vector<BlockTime> blocks;
  for (const Block& block : program.blocks) {
    MESHPLAN_TRY(BlockTime time, pricer.block(block));
    blocks.push_back(time);
  }
  CpuStepTime out;
  PipelineInput input;
  input.shape = program.schedule;
  if (program.boundary_bytes > 0) {
    MESHPLAN_TRY(input.p2p_s, pricer.of(cpu_message(static_cast<double>(program.boundary_bytes))));
    input.p2p_overlapped = false;  // the sender copies the message
  }
  for (const Stage& stage : program.stages) {
    double update = 0, gather = 0, reduce = 0;
    for (const Chunk& chunk : stage.chunks) {
      ChunkTimes times;
      double first = 0, last = 0;
      for (const BlockRun& run : chunk.runs) {
        const Block& block = program.blocks[static_cast<size_t>(run.block)];
        const BlockTime& time = blocks[static_cast<size_t>(run.block)];
        const auto n = static_cast<double>(run.count);
        const bool each_gather = block.gather_when == When::each_micro_batch;
        const bool each_reduce = block.reduce_when == When::each_micro_batch;
        const double again = block.parameters_freed ? time.gather : 0;
        const double reduced = each_reduce ? time.reduce : 0;
        times.forward += n * (time.forward + (each_gather ? time.gather : 0));
        times.input_gradient += n * (time.backward + again);
        times.weight_gradient += n * (time.weight + reduced);
        first += each_gather ? 0 : n * time.gather;
        last += each_reduce ? 0 : n * time.reduce;
        update += n * time.update;
      }
      times.backward = times.input_gradient + times.weight_gradient;
      gather += first;
      reduce += last;
      input.times.push_back(times);
      input.first_forward_s.push_back(first);
      input.last_backward_s.push_back(last);
    }
    out.gather_s = std::max(out.gather_s, gather);
    out.reduce_s = std::max(out.reduce_s, reduce);
    out.update_s = std::max(out.update_s, update);
  }
  MESHPLAN_TRY(const PipelineResult timeline, simulate_pipeline(input));
  out.pipeline_s = timeline.total_s - out.gather_s - out.reduce_s;
  // more ranks than cores take turns
  const double turns = std::max(1.0, static_cast<double>(ranks) / std::max(1, profile.cores));
  out.seconds = turns * (timeline.total_s + out.update_s);
  return out;
}

}  // namespace meshplan
