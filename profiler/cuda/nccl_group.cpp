// SPDX-License-Identifier: Apache-2.0
// One GPU per rank, by NCCL. The world underneath carries the id of a new communicator. Collectives
// have one communicator and stream; messages one per pair of neighbouring stages and direction, so
// that no message waits behind another one that its receiver expects later. All calls of a rank
// come from its thread.
#include <fmt/format.h>
#include <nccl.h>

#include <map>

#include "profiler/comm/reduce.hpp"
#include "profiler/cuda/gpu_group.hpp"
#include "profiler/cuda/library.hpp"
#include "strategies/program/op.hpp"

namespace meshplan::cuda {
namespace {

// clang-format off
#define MESHPLAN_NCCL(use)                                                                  \
  use(ncclGetUniqueId) use(ncclCommInitRank) use(ncclCommAbort) use(ncclCommDestroy)        \
  use(ncclCommGetAsyncError) use(ncclGetErrorString) use(ncclAllReduce) use(ncclAllGather)  \
  use(ncclReduceScatter) use(ncclBroadcast) use(ncclSend) use(ncclRecv) use(ncclGroupStart) \
  use(ncclGroupEnd)
// clang-format on

struct Api {
#define MESHPLAN_MEMBER(name) decltype(&::name) name = nullptr;
  MESHPLAN_NCCL(MESHPLAN_MEMBER)
#undef MESHPLAN_MEMBER
  Status status(ncclResult_t value, const char* call) const {
    if (value == ncclSuccess || value == ncclInProgress) return Done{};
    return Diagnostic{
        .kind = ErrorKind::check, .message = ncclGetErrorString(value), .where = call};
  }
};

Result<Api> load() {
  Api api;
  MESHPLAN_TRY(const Library library, Library::open({"libnccl.so.2"}));
#define MESHPLAN_LOAD(name) MESHPLAN_CHECK(library.get(#name, &api.name));
  MESHPLAN_NCCL(MESHPLAN_LOAD)
#undef MESHPLAN_LOAD
  return api;
}

#define MESHPLAN_CALL(api, name, ...) MESHPLAN_CHECK((api).status((api).name(__VA_ARGS__), #name))

ncclDataType_t nccl_type(Element element) {
  switch (element) {
    case Element::byte:
      return ncclUint8;
    case Element::bf16:
      return ncclBfloat16;
    case Element::fp32:
      return ncclFloat32;
    case Element::fp64:
      return ncclFloat64;
  }
  return ncclUint8;
}

/// A communicator with its stream; aborted, not destroyed, when something went wrong.
struct Channel {
  explicit Channel(const Api& functions) : api(functions) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() {
    if (comm == nullptr) return;
    if (failed) {
      api.ncclCommAbort(comm);
    } else {
      api.ncclCommDestroy(comm);
    }
  }
  /// Of all members.
  Status make(Communicator& base) {
    ncclUniqueId id{};
    if (base.rank() == 0) MESHPLAN_CALL(api, ncclGetUniqueId, &id);
    MESHPLAN_CHECK(base.broadcast(&id, sizeof(id), 0));
    MESHPLAN_CALL(api, ncclCommInitRank, &comm, base.size(), id, base.rank());
    MESHPLAN_TRY(stream, make_stream());
    return Done{};
  }
  /// Of messages of member `from` to member `to`: ranks 0 and 1 of a communicator of two.
  Status make_pair(Communicator& base, int from, int to) {
    ncclUniqueId id{};
    const bool sends = base.rank() == from;
    if (sends) {
      MESHPLAN_CALL(api, ncclGetUniqueId, &id);
      MESHPLAN_CHECK(base.send(&id, sizeof(id), to, kIdTag));
    } else {
      MESHPLAN_CHECK(base.receive(&id, sizeof(id), from, kIdTag));
    }
    MESHPLAN_CALL(api, ncclCommInitRank, &comm, 2, id, sends ? 0 : 1);
    MESHPLAN_TRY(stream, make_stream());
    return Done{};
  }
  static constexpr int kIdTag = 0;
  const Api& api;
  ncclComm_t comm = nullptr;
  Stream stream;
  bool failed = false;
};

class NcclGroup : public Communicator {
 public:
  NcclGroup(std::unique_ptr<Communicator> base, const Api& functions, RankStreams& streams,
            Ledger* ledger)
      : Communicator(base->label(), base->rank(), base->size(), ledger),
        base_(std::move(base)),
        api_(functions),
        collectives(api_),
        streams_(streams) {}
  Status open() {
    MESHPLAN_CHECK(collectives.make(*base_));
    if (label() != name_of(Group::pp)) return Done{};
    // the same order of pairs on every rank, so that no two ranks wait for each other
    for (int i = 0; i < size() - (size() == 2 ? 1 : 0); ++i) {
      const int next = (i + 1) % size();
      if (rank() != i && rank() != next) continue;
      for (const auto& [from, to] : {std::pair(i, next), std::pair(next, i)}) {
        auto channel = std::make_unique<Channel>(api_);
        MESHPLAN_CHECK(channel->make_pair(*base_, from, to));
        messages_[{from, to}] = std::move(channel);
      }
    }
    return Done{};
  }
  /// Null: no neighbouring stages.
  Channel* messages(int from, int to) {
    const auto found = messages_.find({from, to});
    return found == messages_.end() ? nullptr : found->second.get();
  }
  RankStreams& streams() { return streams_; }
  const Api& api() const { return api_; }

 private:
  std::unique_ptr<Operation> start(Request request) override;

  std::unique_ptr<Communicator> base_;
  Api api_;

 public:
  Channel collectives;

 private:
  std::map<std::pair<int, int>, std::unique_ptr<Channel>> messages_;  ///< by sender and receiver
  RankStreams& streams_;
};

class NcclOperation : public Operation {
 public:
  NcclOperation(NcclGroup& group, Channel& channel, Request request)
      : group_(group), channel_(channel), request_(std::move(request)) {
    started_ = begin();
    if (!started_.ok()) channel_.failed = true;
  }
  Status wait() override {
    MESHPLAN_CHECK(started_);
    ncclResult_t fault = ncclSuccess;
    MESHPLAN_CALL(group_.api(), ncclCommGetAsyncError, channel_.comm, &fault);
    if (fault != ncclSuccess && fault != ncclInProgress) channel_.failed = true;
    MESHPLAN_CHECK(group_.api().status(fault, "ncclCommGetAsyncError"));
    return status_of(cudaStreamWaitEvent(group_.streams().compute.get(), done_.get(), 0), "wait");
  }
  Status settle() override {
    MESHPLAN_CHECK(started_);
    group_.streams().settled.push_back(done_.get());
    return Done{};
  }
  /// What a ring moves into this rank; NCCL's own choice of algorithm is not seen.
  int64_t moved_bytes() const override {
    const int64_t others = group_.size() - 1, bytes = request_.bytes;
    switch (request_.transfer) {
      case Transfer::all_reduce:
        return group_.size() == 1 ? 0 : 2 * others * bytes / group_.size();
      case Transfer::all_gather:
      case Transfer::reduce_scatter:
        return others * bytes;
      case Transfer::all_to_all: {
        if (request_.receive_bytes.empty()) return others * bytes;
        int64_t sum = 0;
        for (int r = 0; r < group_.size(); ++r) {
          if (r != group_.rank()) sum += request_.receive_bytes[static_cast<size_t>(r)];
        }
        return sum;
      }
      case Transfer::ring_exchange:
        return group_.size() == 1 ? 0 : bytes;
      case Transfer::broadcast:
      case Transfer::receive:
        return request_.peer == group_.rank() ? 0 : bytes;
      case Transfer::barrier:
      case Transfer::send:
        return 0;
    }
    return 0;
  }

 private:
  Status begin() {
    const cudaStream_t stream = channel_.stream.get();
    MESHPLAN_CHECK(group_.streams().begin(stream));
    MESHPLAN_TRY(done_, make_event(false));
    if (request_.transfer != Transfer::send || request_.bytes == 0) {
      MESHPLAN_CHECK(call());
      return status_of(cudaEventRecord(done_.get(), stream), "cudaEventRecord");
    }
    // the sender goes on when the message is copied, whether or not somebody receives it
    void* copy = nullptr;
    const auto bytes = static_cast<size_t>(request_.bytes);
    MESHPLAN_CUDA(cudaMallocAsync(&copy, bytes, stream));
    MESHPLAN_CUDA(cudaMemcpyAsync(copy, request_.send, bytes, cudaMemcpyDeviceToDevice, stream));
    MESHPLAN_CUDA(cudaEventRecord(done_.get(), stream));
    request_.send = copy;
    MESHPLAN_CHECK(call());
    return status_of(cudaFreeAsync(copy, stream), "cudaFreeAsync");
  }

  Status call() {
    const Api& api = group_.api();
    const ncclComm_t comm = channel_.comm;
    const cudaStream_t stream = channel_.stream.get();
    const Request& r = request_;
    const ncclDataType_t type = nccl_type(r.element);
    const auto count = static_cast<size_t>(r.bytes / bytes_of(r.element));
    const auto bytes = static_cast<size_t>(r.bytes);
    const ncclRedOp_t op = r.reduce == ReduceOp::sum ? ncclSum : ncclMax;
    switch (r.transfer) {
      case Transfer::all_reduce:
        return api.status(api.ncclAllReduce(r.send, r.receive, count, type, op, comm, stream),
                          "ncclAllReduce");
      case Transfer::all_gather:
        return api.status(api.ncclAllGather(r.send, r.receive, bytes, ncclUint8, comm, stream),
                          "ncclAllGather");
      case Transfer::reduce_scatter:
        return api.status(api.ncclReduceScatter(r.send, r.receive, count, type, op, comm, stream),
                          "ncclReduceScatter");
      case Transfer::broadcast:
        return api.status(
            api.ncclBroadcast(r.send, r.receive, bytes, ncclUint8, r.peer, comm, stream),
            "ncclBroadcast");
      case Transfer::send:
        return api.status(api.ncclSend(r.send, bytes, ncclUint8, 1, comm, stream), "ncclSend");
      case Transfer::receive:
        return api.status(api.ncclRecv(r.receive, bytes, ncclUint8, 0, comm, stream), "ncclRecv");
      case Transfer::all_to_all:
        return exchange();
      case Transfer::ring_exchange: {
        const int next = (group_.rank() + 1) % group_.size();
        const int before = (group_.rank() + group_.size() - 1) % group_.size();
        MESHPLAN_CALL(api, ncclGroupStart);
        const Status sent =
            api.status(api.ncclSend(r.send, bytes, ncclUint8, next, comm, stream), "ncclSend");
        Status received =
            api.status(api.ncclRecv(r.receive, bytes, ncclUint8, before, comm, stream), "ncclRecv");
        MESHPLAN_CALL(api, ncclGroupEnd);
        MESHPLAN_CHECK(sent);
        return received;
      }
      case Transfer::barrier:
        return Done{};  // between streams an all-reduce of nothing would order nothing
    }
    return Done{};
  }

  Status exchange() {
    const Api& api = group_.api();
    const auto* from = static_cast<const char*>(request_.send);
    auto* to = static_cast<char*>(request_.receive);
    MESHPLAN_CALL(api, ncclGroupStart);
    Status first = Done{};
    for (int r = 0; r < group_.size(); ++r) {
      const auto at = static_cast<size_t>(r);
      const int64_t out = request_.send_bytes.empty() ? request_.bytes : request_.send_bytes[at];
      const int64_t in =
          request_.receive_bytes.empty() ? request_.bytes : request_.receive_bytes[at];
      Status sent = Done{}, received = Done{};
      if (out > 0) {  // pieces of a product go to one rank alone
        sent = api.status(api.ncclSend(from, static_cast<size_t>(out), ncclUint8, r, channel_.comm,
                                       channel_.stream.get()),
                          "ncclSend");
      }
      if (in > 0) {
        received = api.status(api.ncclRecv(to, static_cast<size_t>(in), ncclUint8, r, channel_.comm,
                                           channel_.stream.get()),
                              "ncclRecv");
      }
      if (first.ok()) first = sent.ok() ? received : sent;
      from += out;
      to += in;
    }
    MESHPLAN_CALL(api, ncclGroupEnd);
    return first;
  }

  NcclGroup& group_;
  Channel& channel_;
  Request request_;
  Event done_;
  Status started_ = Done{};
};

class Refused : public Operation {
 public:
  explicit Refused(Diagnostic error) : status_(std::move(error)) {}
  Status wait() override { return status_; }
  int64_t moved_bytes() const override { return 0; }

 private:
  Status status_;
};

std::unique_ptr<Operation> NcclGroup::start(Request request) {
  Channel* channel = &collectives;
  if (request.transfer == Transfer::send) channel = messages(rank(), request.peer);
  if (request.transfer == Transfer::receive) channel = messages(request.peer, rank());
  if (channel == nullptr) {
    return std::make_unique<Refused>(
        Diagnostic{.message = fmt::format("group {}: NCCL carries messages between neighbouring "
                                          "stages only, not with rank {}",
                                          label(), request.peer)});
  }
  return std::make_unique<NcclOperation>(*this, *channel, std::move(request));
}

}  // namespace

Result<std::unique_ptr<Communicator>> nccl_group(std::unique_ptr<Communicator> base,
                                                 RankStreams& streams, Ledger* ledger) {
  MESHPLAN_TRY(const Api api, load());
  auto group = std::make_unique<NcclGroup>(std::move(base), api, streams, ledger);
  MESHPLAN_CHECK(group->open());
  return std::unique_ptr<Communicator>(std::move(group));
}

}  // namespace meshplan::cuda
