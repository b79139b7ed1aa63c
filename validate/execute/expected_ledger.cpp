// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/expected_ledger.hpp"

#include "strategies/program/overlap.hpp"

namespace meshplan {
namespace {

Transfer transfer_of(CollectiveOp op) {
  switch (op) {
    case CollectiveOp::all_reduce:
      return Transfer::all_reduce;
    case CollectiveOp::all_gather:
      return Transfer::all_gather;
    case CollectiveOp::reduce_scatter:
      return Transfer::reduce_scatter;
    case CollectiveOp::all_to_all:
      return Transfer::all_to_all;
    case CollectiveOp::ring_exchange:
      return Transfer::ring_exchange;
  }
  return Transfer::barrier;
}

class Counter {
 public:
  void add(Group group, Transfer transfer, int64_t calls, int64_t bytes) {
    if (calls == 0) return;
    LedgerEntry& entry = ledger_[{name_of(group), transfer}];
    entry.calls += calls;
    entry.bytes += calls * bytes;
  }
  void add(const Program& program, const Block& block, Phase phase, int64_t times) {
    const std::vector<Op>& ops = block.ops(phase);
    for (size_t i = 0; i < ops.size(); ++i) {
      const Joint joint = joint_at(block, phase, i, program.plan, program.trainer);
      const size_t at = joint == Joint::product_scatter ? i + 1 : i;
      const auto* collective = std::get_if<Collective>(&ops[at].body);
      if (joint == Joint::gather_product ||
          joint == Joint::product_scatter) {  // a piece to every other rank
        add(Group::tp, Transfer::all_to_all, times * (program.plan.tp - 1),
            collective->bytes / program.plan.tp);
        ++i;
      } else if (collective != nullptr) {
        add(collective->group, transfer_of(collective->op), times, collective->bytes);
      }
    }
  }
  Ledger done() { return std::move(ledger_); }

 private:
  Ledger ledger_;
};

int64_t times(When when, int64_t micro_batches) {
  switch (when) {
    case When::never:
      return 0;
    case When::each_micro_batch:
      return micro_batches;
    case When::first_micro_batch:
    case When::last_micro_batch:
    case When::each_round:  // priced only: once for the round that holds the last micro-batch
      return 1;
  }
  return 0;
}

}  // namespace

Ledger expected_ledger(const Program& program, const RankPlace& place, int64_t steps) {
  Counter counter;
  const auto& chunks = program.stages[static_cast<size_t>(place.stage)].chunks;
  const int last = virtual_stages(program.schedule) - 1;
  for (size_t c = 0; c < chunks.size(); ++c) {
    const MicroBatchRange range = micro_batches_of(program.schedule, static_cast<int>(c));
    const int64_t n = range.last - range.first;
    for (const BlockRun& run : chunks[c].runs) {
      const Block& block = program.blocks[static_cast<size_t>(run.block)];
      const int64_t all = steps * run.count;
      for (const Phase phase : {Phase::forward, Phase::backward, Phase::weight}) {
        counter.add(program, block, phase, all * n);
      }
      counter.add(program, block, Phase::gather,
                  all * (times(block.gather_when, n) + (block.parameters_freed ? n : 0)));
      const bool end = block.input < 0 || block.output < 0;
      const bool deferred = program.tied_across_stages && end;
      counter.add(program, block, Phase::reduce,
                  all * (deferred ? 1 : times(block.reduce_when, n)));
      if (!deferred) continue;
      for (const Parameter& parameter : block.parameters) {
        if (parameter.pieces.front().name != "embed_tokens.weight") continue;
        counter.add(Group::tied, Transfer::all_reduce, all,
                    block.buffer(parameter.gradient).bytes());
      }
    }
    // borders to the virtual stages before and after, where those are on another rank
    const int v = virtual_stage(program.schedule, place.stage, static_cast<int>(c));
    for (const int neighbour : {v - 1, v + 1}) {
      if (neighbour < 0 || neighbour > last) continue;
      if (place_of(program.schedule, neighbour).stage == place.stage) continue;
      counter.add(Group::pp, Transfer::send, steps * n, program.boundary_bytes);
      counter.add(Group::pp, Transfer::receive, steps * n, program.boundary_bytes);
    }
  }
  // loss and squared gradient norm
  if (program.plan.world() > 1) {
    counter.add(Group::world, Transfer::all_reduce, steps, 2 * sizeof(double));
  }
  return counter.done();
}

}  // namespace meshplan
