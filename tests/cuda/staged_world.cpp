// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda/staged_world.hpp"

#include <numeric>

#include "profiler/cuda/memory.hpp"

namespace meshplan::test {
namespace {

using cuda::DeviceMemory;

int64_t sum_of(const std::vector<int64_t>& bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), int64_t{0});
}

/// Bytes that a request reads and writes.
int64_t sent(const Request& r, int size) {
  if (!r.send_bytes.empty()) return sum_of(r.send_bytes);
  const bool all = r.transfer == Transfer::all_to_all || r.transfer == Transfer::reduce_scatter;
  return r.send == nullptr ? 0 : (all ? size * r.bytes : r.bytes);
}
int64_t received(const Request& r, int size) {
  if (!r.receive_bytes.empty()) return sum_of(r.receive_bytes);
  const bool all = r.transfer == Transfer::all_to_all || r.transfer == Transfer::all_gather;
  return r.receive == nullptr ? 0 : (all ? size * r.bytes : r.bytes);
}

class StagedOperation : public Operation {
 public:
  StagedOperation(Communicator& inner, Request request, GpuWorld& gpus)
      : inner_(inner), request_(std::move(request)), gpus_(gpus) {
    started_ = start();
  }
  Status wait() override {
    MESHPLAN_CHECK(started_);
    if (!pending_.started()) return Done{};  // settled before
    LedgerEntry& entry = gpus_.ledger()[{inner_.label(), request_.transfer}];
    const int64_t before = entry.moved_bytes;
    MESHPLAN_CHECK(pending_.wait());
    moved_ = entry.moved_bytes - before;
    const auto bytes = static_cast<size_t>(received(request_, inner_.size()));
    if (bytes > 0) {
      MESHPLAN_CUDA(cudaMemcpyAsync(request_.receive, out_.get(), bytes, cudaMemcpyDeviceToHost,
                                    gpus_.compute_stream()));
    }
    MESHPLAN_CUDA(cudaStreamSynchronize(gpus_.compute_stream()));
    return Done{};
  }
  int64_t moved_bytes() const override { return moved_; }

 private:
  Status start() {
    const Request& r = request_;
    const int size = inner_.size();
    const int64_t in = sent(r, size);
    MESHPLAN_TRY(in_, DeviceMemory::make(in));
    MESHPLAN_TRY(out_, DeviceMemory::make(received(r, size)));
    if (in > 0) {
      MESHPLAN_CUDA(cudaMemcpyAsync(in_.get(), r.send, static_cast<size_t>(in),
                                    cudaMemcpyHostToDevice, gpus_.compute_stream()));
      MESHPLAN_CUDA(cudaStreamSynchronize(gpus_.compute_stream()));
    }
    // in place where the caller is: the result is made where the operand lies
    const int64_t count = r.bytes / bytes_of(r.element);
    switch (r.transfer) {
      case Transfer::all_reduce:
        std::swap(in_, out_);
        pending_ = inner_.start_all_reduce(out_.get(), count, r.element, r.reduce);
        break;
      case Transfer::broadcast:
        std::swap(in_, out_);
        pending_ = inner_.start_broadcast(out_.get(), r.bytes, r.peer);
        break;
      case Transfer::reduce_scatter:
        pending_ = inner_.start_reduce_scatter(in_.get(), out_.get(), count, r.element);
        break;
      case Transfer::all_gather:
        pending_ = inner_.start_all_gather(in_.get(), out_.get(), r.bytes);
        break;
      case Transfer::all_to_all:
        pending_ = r.send_bytes.empty() ? inner_.start_all_to_all(in_.get(), out_.get(), r.bytes)
                                        : inner_.start_all_to_all(in_.get(), r.send_bytes,
                                                                  out_.get(), r.receive_bytes);
        break;
      case Transfer::ring_exchange:
        pending_ = inner_.start_ring_exchange(in_.get(), out_.get(), r.bytes);
        break;
      case Transfer::barrier:
        pending_ = inner_.start_barrier();
        break;
      case Transfer::send:
        pending_ = inner_.start_send(in_.get(), r.bytes, r.peer, r.tag);
        break;
      case Transfer::receive:
        pending_ = inner_.start_receive(out_.get(), r.bytes, r.peer, r.tag);
        break;
    }
    return Done{};
  }

  Communicator& inner_;
  Request request_;
  GpuWorld& gpus_;
  DeviceMemory in_, out_;
  Pending pending_;
  Status started_ = Done{};
  int64_t moved_ = 0;
};

class StagedCommunicator : public Communicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> inner, GpuWorld& gpus, Ledger* ledger)
      : Communicator(inner->label(), inner->rank(), inner->size(), ledger),
        inner_(std::move(inner)),
        gpus_(gpus) {}

 private:
  std::unique_ptr<Operation> start(Request request) override {
    return std::make_unique<StagedOperation>(*inner_, std::move(request), gpus_);
  }
  std::unique_ptr<Communicator> inner_;
  GpuWorld& gpus_;
};

}  // namespace

Result<std::unique_ptr<Communicator>> StagedWorld::group(const std::vector<int>& members,
                                                         const std::string& label) {
  MESHPLAN_TRY(std::unique_ptr<Communicator> inner, gpus_.group(members, label));
  return std::unique_ptr<Communicator>(
      std::make_unique<StagedCommunicator>(std::move(inner), gpus_, &ledger()));
}

}  // namespace meshplan::test
