// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/reduction.hpp"

#include "validate/execute/block_state.hpp"
#include "validate/execute/rank_env.hpp"

namespace meshplan {
namespace {

int64_t aligned(int64_t bytes) {
  return (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
}

}  // namespace

int64_t Reduction::staged_bytes(const OpSite& site) const {
  int64_t bytes = 0;
  const Block& block = state_.block();
  for (const Op& op : block.ops(Phase::reduce)) {
    const DType type = std::get<Collective>(op.body).dtype;
    for (const BufferId id : {op.in[0], op.out[0]}) {
      if (site.tensor(id).type == type) continue;
      bytes += aligned(block.buffer(id).elements() * bytes_of(type));
    }
  }
  return bytes;
}

Status Reduction::start() {
  Frame none;
  const OpSite site{env_, state_, none, nullptr};
  state_.begin_reduce();
  if (const int64_t bytes = staged_bytes(site); bytes > 0) {
    MESHPLAN_TRY(free_, env_.device().scratch(kReductionScratch, bytes));
  }
  for (const Op& op : state_.block().ops(Phase::reduce)) {
    const auto& collective = std::get<Collective>(op.body);
    const bool norms = collective.group == Group::tp;
    if (norms && env_.options().fault == Fault::no_norm_reduction) continue;
    MESHPLAN_CHECK(start(op, collective, site));
  }
  return Done{};
}

Status Reduction::start(const Op& op, const Collective& collective, const OpSite& site) {
  MESHPLAN_TRY(CollectiveSite operands, operands_of(collective, op, site));
  const bool in_place = collective.op == CollectiveOp::all_reduce;
  MESHPLAN_TRY(operands.to,
               stage(op.out[0], operands.to, operands.to_count, collective.dtype, in_place, true));
  if (in_place) {
    operands.from = operands.to;
  } else {
    MESHPLAN_TRY(operands.from, stage(op.in[0], operands.from, operands.from_count,
                                      collective.dtype, true, false));
  }
  if (!under_way_.empty()) MESHPLAN_CHECK(under_way_.back().settle());
  under_way_.push_back(meshplan::start(collective, operands));
  return Done{};
}

/// The tensor in the type of the collective: itself, what an operation before left, or a copy.
Result<Tensor> Reduction::stage(BufferId id, Tensor kept, int64_t count, DType type, bool reads,
                                bool writes) {
  if (kept.type == type) return kept;
  for (Staged& one : staged_) {
    if (one.id != id) continue;
    one.written = one.written || writes;
    return one.used;
  }
  const Tensor used{free_, type};
  free_ += aligned(count * bytes_of(type));
  staged_.push_back({id, kept, used, count, writes});
  if (!reads) return used;
  MESHPLAN_CHECK(wait());  // an operation before may write what is converted
  MESHPLAN_CHECK(env_.device().convert(count, kept, used));
  return used;
}

Status Reduction::wait() {
  for (Pending& pending : under_way_) MESHPLAN_CHECK(pending.wait());
  under_way_.clear();
  return Done{};
}

Status Reduction::finish() {
  MESHPLAN_CHECK(wait());
  for (const Staged& one : staged_) {
    if (one.written) MESHPLAN_CHECK(env_.device().convert(one.count, one.used, one.kept));
  }
  MESHPLAN_CHECK(state_.end_reduce());
  state_.close_gradients();
  return last_ ? Status(Done{}) : state_.keep_own_share();
}

}  // namespace meshplan
