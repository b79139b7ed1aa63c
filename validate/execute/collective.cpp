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
  std::byte* data() const { return used_.data; }

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

StartedGather::StartedGather(const Collective& collective, const Op& op, const OpSite& site)
    : op_(&op) {
  Communicator* group = site.env.group(collective.group);
  const Tensor from = site.tensor(op.in[0]), to = site.tensor(op.out[0]);
  const bool plain = from.type == collective.dtype && to.type == collective.dtype;
  if (group == nullptr || !plain || collective.op != CollectiveOp::all_gather) return;
  pending_ = group->start_all_gather(from.data, to.data, collective.bytes / group->size());
}

Status StartedGather::wait(const OpSite& site) {
  if (pending_.started()) return pending_.wait();
  return run_collective(std::get<Collective>(op_->body), *op_, site);
}

Status run_collective(const Collective& collective, const Op& op, const OpSite& site) {
  Communicator* group = site.env.group(collective.group);
  if (group == nullptr) {
    return Diagnostic{.message = fmt::format("{} over group {} of one rank", name_of(collective.op),
                                             name_of(collective.group)),
                      .where = fmt::format("block {}", site.state.block().name)};
  }
  Device& device = site.env.device();
  const int64_t size = group->size();
  const int64_t count = collective.bytes / bytes_of(collective.dtype);
  const Element element = element_of(collective.dtype);
  Tensor from = site.tensor(op.in[0]), to = site.tensor(op.out[0]);
  if (collective.op == CollectiveOp::all_reduce) {
    const int64_t rest = site.state.block().buffer(op.out[0]).elements() - count;
    const int64_t skip = collective.maximum ? 0 : rest;
    from = from.from(skip);
    to = to.from(skip);
    if (from.data != to.data) MESHPLAN_CHECK(device.convert(count, from, to));
    Typed data(device, 0, to, count, collective.dtype);
    MESHPLAN_CHECK(data.open(true));
    MESHPLAN_CHECK(group->all_reduce(data.data(), count, element,
                                     collective.maximum ? ReduceOp::max : ReduceOp::sum));
    return data.close();
  }
  const bool gathers = collective.op == CollectiveOp::all_gather;
  const bool scatters = collective.op == CollectiveOp::reduce_scatter;
  Typed x(device, 0, from, gathers ? count / size : count, collective.dtype);
  Typed y(device, 1, to, scatters ? count / size : count, collective.dtype);
  MESHPLAN_CHECK(x.open(true));
  MESHPLAN_CHECK(y.open(false));
  switch (collective.op) {
    case CollectiveOp::all_gather:
      MESHPLAN_CHECK(group->all_gather(x.data(), y.data(), collective.bytes / size));
      break;
    case CollectiveOp::reduce_scatter:
      MESHPLAN_CHECK(group->reduce_scatter(x.data(), y.data(), count / size, element));
      break;
    case CollectiveOp::all_to_all:
      MESHPLAN_CHECK(group->all_to_all(x.data(), y.data(), collective.bytes / size));
      break;
    case CollectiveOp::ring_exchange:
      MESHPLAN_CHECK(group->ring_exchange(x.data(), y.data(), collective.bytes));
      break;
    case CollectiveOp::all_reduce:
      break;
  }
  return y.close();
}

}  // namespace meshplan
