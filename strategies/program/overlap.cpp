// SPDX-License-Identifier: Apache-2.0
#include "strategies/program/overlap.hpp"

#include <algorithm>

namespace meshplan {

bool overlapped(Group group, const Trainer& trainer) {
  switch (group) {
    case Group::tp:
      return trainer.tp_overlap != TpOverlap::none;
    case Group::cp:
      return trainer.overlap_cp;
    case Group::ep:  // beside another micro-batch, see costmodel/step/phase_time.cpp
    case Group::etp:
    case Group::shard:
    case Group::replicate:
    case Group::expert_shard:
    case Group::expert_replicate:
    case Group::pp:
    case Group::tied:
    case Group::world:
      return false;
  }
  return false;
}

namespace {

/// A product whose rows can be made one piece after the other.
bool by_rows(const Op& op, const Plan& plan) {
  const auto* gemm = std::get_if<Gemm>(&op.body);
  return gemm != nullptr && gemm->groups == 1 && op.module != Module::experts &&
         gemm->layout != Layout::nt && !gemm->accumulate && gemm->m % plan.tp == 0;
}

const Collective* of_tp(const Op& op, CollectiveOp kind) {
  const auto* collective = std::get_if<Collective>(&op.body);
  const bool fits =
      collective != nullptr && collective->op == kind && collective->group == Group::tp;
  return fits ? collective : nullptr;
}

bool one_type(const Block& block, const Op& op, const Collective& collective) {
  const DType from = block.buffer(op.in[0]).dtype, to = block.buffer(op.out[0]).dtype;
  return from == collective.dtype && to == from && !is_quantised(from);
}

bool sum_and_norm(const Block& block, const Op& a, const Op& b) {
  const auto* sum = std::get_if<Elementwise>(&a.body);
  const auto* norm = std::get_if<Norm>(&b.body);
  if (sum == nullptr || norm == nullptr || sum->kind != ElementwiseKind::add ||
      norm->pass != Pass::forward || norm->type != NormType::rms || a.out.empty() ||
      b.in[0] != a.out[0]) {
    return false;
  }
  const DType type = block.buffer(a.out[0]).dtype;
  const auto fits = [&](BufferId id) { return block.buffer(id).dtype == type; };
  return std::all_of(a.in.begin(), a.in.end(), fits) && fits(b.in[1]) && fits(b.out[0]) &&
         block.buffer(a.in[1]).kind == BufferClass::activation;
}

Joint pieces_at(const Block& block, const std::vector<Op>& ops, size_t i, const Plan& plan) {
  const Op &a = ops[i], &b = ops[i + 1];
  if (const Collective* gather = of_tp(a, CollectiveOp::all_gather)) {
    const bool fits = by_rows(b, plan) && b.in[0] == a.out[0] && one_type(block, a, *gather);
    return fits ? Joint::gather_product : Joint::none;
  }
  const Collective* scatter = of_tp(b, CollectiveOp::reduce_scatter);
  if (scatter == nullptr || !by_rows(a, plan) || b.in[0] != a.out[0] ||
      !one_type(block, b, *scatter)) {
    return Joint::none;
  }
  // the sums of a piece take the place of another one: nobody else may read them
  const bool read = std::any_of(
      ops.begin() + static_cast<std::ptrdiff_t>(i) + 2, ops.end(), [&](const Op& later) {
        return std::find(later.in.begin(), later.in.end(), a.out[0]) != later.in.end();
      });
  return read ? Joint::none : Joint::product_scatter;
}

}  // namespace

Joint joint_at(const Block& block, Phase phase, size_t i, const Plan& plan,
               const Trainer& trainer) {
  const std::vector<Op>& ops = block.ops(phase);
  if (i + 1 >= ops.size()) return Joint::none;
  if (sum_and_norm(block, ops[i], ops[i + 1])) return Joint::sum_norm;
  const bool pieces = trainer.tp_overlap == TpOverlap::ring && plan.tp > 1;
  return pieces ? pieces_at(block, ops, i, plan) : Joint::none;
}

}  // namespace meshplan
