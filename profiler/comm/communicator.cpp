// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/communicator.hpp"

#include <cassert>
#include <numeric>
#include <type_traits>

namespace meshplan {

const char* name_of(Transfer transfer) {
  switch (transfer) {
    case Transfer::all_reduce:
      return "all-reduce";
    case Transfer::all_gather:
      return "all-gather";
    case Transfer::reduce_scatter:
      return "reduce-scatter";
    case Transfer::all_to_all:
      return "all-to-all";
    case Transfer::ring_exchange:
      return "ring exchange";
    case Transfer::broadcast:
      return "broadcast";
    case Transfer::barrier:
      return "barrier";
    case Transfer::send:
      return "send";
    case Transfer::receive:
      return "receive";
  }
  return "?";
}

Status Pending::wait() {
  assert(operation_);
  Status status = operation_->wait();
  if (status.ok()) {
    LedgerEntry& entry = (*owner_->ledger_)[{owner_->label_, transfer_}];
    ++entry.calls;
    entry.bytes += bytes_;
    entry.moved_bytes += operation_->moved_bytes();
  }
  operation_.reset();
  return status;
}

Pending Communicator::submit(Request request, int64_t ledger_bytes) {
  Pending pending;
  pending.owner_ = this;
  pending.transfer_ = request.transfer;
  pending.bytes_ = ledger_bytes;
  pending.operation_ = start(std::move(request));
  return pending;
}

template <class T>
constexpr Element element_of() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  return std::is_same_v<T, float> ? Element::fp32 : Element::fp64;
}

Pending Communicator::start_all_reduce(void* data, int64_t count, Element element,
                                       ReduceOp reduce) {
  const int64_t bytes = count * bytes_of(element);
  return submit({.transfer = Transfer::all_reduce,
                 .element = element,
                 .reduce = reduce,
                 .send = data,
                 .receive = data,
                 .bytes = bytes},
                bytes);
}
template <class T>
Pending Communicator::start_all_reduce(T* data, int64_t count, ReduceOp reduce) {
  return start_all_reduce(data, count, element_of<T>(), reduce);
}
template Pending Communicator::start_all_reduce(float*, int64_t, ReduceOp);
template Pending Communicator::start_all_reduce(double*, int64_t, ReduceOp);

Pending Communicator::start_reduce_scatter(const void* send, void* receive, int64_t count,
                                           Element element) {
  const int64_t bytes = count * bytes_of(element);
  return submit({.transfer = Transfer::reduce_scatter,
                 .element = element,
                 .send = send,
                 .receive = receive,
                 .bytes = bytes},
                size_ * bytes);
}
template <class T>
Pending Communicator::start_reduce_scatter(const T* send, T* receive, int64_t count) {
  return start_reduce_scatter(send, receive, count, element_of<T>());
}
template Pending Communicator::start_reduce_scatter(const float*, float*, int64_t);
template Pending Communicator::start_reduce_scatter(const double*, double*, int64_t);

Pending Communicator::start_all_gather(const void* send, void* receive, int64_t bytes) {
  return submit(
      {.transfer = Transfer::all_gather, .send = send, .receive = receive, .bytes = bytes},
      size_ * bytes);
}

Pending Communicator::start_all_to_all(const void* send, void* receive, int64_t bytes) {
  return submit(
      {.transfer = Transfer::all_to_all, .send = send, .receive = receive, .bytes = bytes},
      size_ * bytes);
}

Pending Communicator::start_all_to_all(const void* send, std::span<const int64_t> send_bytes,
                                       void* receive, std::span<const int64_t> receive_bytes) {
  assert(static_cast<int>(send_bytes.size()) == size_);
  assert(static_cast<int>(receive_bytes.size()) == size_);
  return submit({.transfer = Transfer::all_to_all,
                 .send = send,
                 .receive = receive,
                 .send_bytes = {send_bytes.begin(), send_bytes.end()},
                 .receive_bytes = {receive_bytes.begin(), receive_bytes.end()}},
                std::accumulate(send_bytes.begin(), send_bytes.end(), int64_t{0}));
}

Pending Communicator::start_ring_exchange(const void* send, void* receive, int64_t bytes) {
  return submit(
      {.transfer = Transfer::ring_exchange, .send = send, .receive = receive, .bytes = bytes},
      bytes);
}

Pending Communicator::start_broadcast(void* data, int64_t bytes, int root) {
  return submit({.transfer = Transfer::broadcast,
                 .send = data,
                 .receive = data,
                 .bytes = bytes,
                 .peer = root},
                bytes);
}

Pending Communicator::start_barrier() { return submit({.transfer = Transfer::barrier}, 0); }

Pending Communicator::start_send(const void* data, int64_t bytes, int to, int tag) {
  assert(to >= 0 && to < size_);
  return submit({.transfer = Transfer::send, .send = data, .bytes = bytes, .peer = to, .tag = tag},
                bytes);
}

Pending Communicator::start_receive(void* data, int64_t bytes, int from, int tag) {
  assert(from >= 0 && from < size_);
  return submit(
      {.transfer = Transfer::receive, .receive = data, .bytes = bytes, .peer = from, .tag = tag},
      bytes);
}

}  // namespace meshplan
