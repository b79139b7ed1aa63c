// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/collective.hpp"

#include <fmt/format.h>

#include "validate/execute/block_state.hpp"
#include "validate/execute/rank_env.hpp"

namespace meshplan {
namespace {

/// A tensor, or its copy in the type of a collective.
class Typed {
 public:
  Typed(Device& device, int slot, Tensor tensor, int64_t count, DType type)
      : device_(device), slot_(slot), tensor_(tensor), count_(count), type_(type) {}
  Status open(bool read) {
    used_ = tensor_;
    if (tensor_.type == type_) return Done{};
    MESHPLAN_TRY(used_.data, device_.scratch(slot_, count_ * bytes_of(type_)));
    used_.type = type_;
    return read ? device_.convert(count_, tensor_, used_) : Status(Done{});
  }
  Status close() {
    return tensor_.type == type_ ? Status(Done{}) : device_.convert(count_, used_, tensor_);
  }
  Tensor used() const { return used_; }

 private:
  Device& device_;
  int slot_;
  Tensor tensor_, used_;
  int64_t count_;
  DType type_;
};

}  // namespace

Element element_of(DType type) {
  if (type == DType::fp32) return Element::fp32;
  return type == DType::bf16 ? Element::bf16 : Element::byte;
}

Result<CollectiveSite> operands_of(const Collective& collective, const Op& op, const OpSite& site) {
  Communicator* group = site.env.group(collective.group);
  if (group == nullptr) {
    return Diagnostic{.message = fmt::format("{} over group {} of one rank", name_of(collective.op),
                                             name_of(collective.group)),
                      .where = fmt::format("block {}", site.state.block().name)};
  }
  const int64_t count = collective.bytes / bytes_of(collective.dtype);
  CollectiveSite out{group, site.tensor(op.in[0]), site.tensor(op.out[0]), count, count};
  switch (collective.op) {
    case CollectiveOp::all_gather:
      out.from_count /= group->size();
      break;
    case CollectiveOp::reduce_scatter:
      out.to_count /= group->size();
      break;
    case CollectiveOp::all_reduce: {
      const int64_t rest = site.state.block().buffer(op.out[0]).elements() - count;
      out.from = out.from.from(collective.maximum ? 0 : rest);
      out.to = out.to.from(collective.maximum ? 0 : rest);
      break;
    }
    case CollectiveOp::all_to_all:
    case CollectiveOp::ring_exchange:
      break;
  }
  return out;
}

Pending start(const Collective& collective, const CollectiveSite& site) {
  Communicator& group = *site.group;
  const Element element = element_of(collective.dtype);
  const std::byte* from = site.from.data;
  std::byte* to = site.to.data;
  switch (collective.op) {
    case CollectiveOp::all_gather:
      return group.start_all_gather(from, to, collective.bytes / group.size());
    case CollectiveOp::reduce_scatter:
      return group.start_reduce_scatter(from, to, site.to_count, element);
    case CollectiveOp::all_to_all:
      return group.start_all_to_all(from, to, collective.bytes / group.size());
    case CollectiveOp::ring_exchange:
      return group.start_ring_exchange(from, to, collective.bytes);
    case CollectiveOp::all_reduce:
      return group.start_all_reduce(to, site.to_count, element,
                                    collective.maximum ? ReduceOp::max : ReduceOp::sum);
  }
  return {};
}

Result<Pending> start_if_plain(const Collective& collective, const Op& op, const OpSite& site) {
  MESHPLAN_TRY(const CollectiveSite operands, operands_of(collective, op, site));
  if (operands.from.type != collective.dtype || operands.to.type != collective.dtype) {
    return Pending();
  }
  if (collective.op == CollectiveOp::all_reduce && operands.from.data != operands.to.data) {
    MESHPLAN_CHECK(site.env.device().convert(operands.to_count, operands.from, operands.to));
  }
  return start(collective, operands);
}

Status run_collective(const Collective& collective, const Op& op, const OpSite& site) {
  MESHPLAN_TRY(CollectiveSite operands, operands_of(collective, op, site));
  Device& device = site.env.device();
  const bool in_place = collective.op == CollectiveOp::all_reduce;
  if (in_place && operands.from.data != operands.to.data) {
    MESHPLAN_CHECK(device.convert(operands.to_count, operands.from, operands.to));
  }
  Typed x(device, 0, operands.from, operands.from_count, collective.dtype);
  Typed y(device, 1, operands.to, operands.to_count, collective.dtype);
  if (!in_place) MESHPLAN_CHECK(x.open(true));
  MESHPLAN_CHECK(y.open(in_place));
  operands.from = in_place ? y.used() : x.used();
  operands.to = y.used();
  MESHPLAN_CHECK(start(collective, operands).wait());
  return y.close();
}

Result<StartedGather> StartedGather::start(const Op& op, const OpSite& site) {
  StartedGather out;
  out.op_ = &op;
  MESHPLAN_TRY(out.pending_, start_if_plain(std::get<Collective>(op.body), op, site));
  return out;
}

Status StartedGather::wait(const OpSite& site) {
  if (pending_.started()) return pending_.wait();
  return run_collective(std::get<Collective>(op_->body), *op_, site);
}

}  // namespace meshplan
