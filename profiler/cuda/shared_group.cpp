// SPDX-License-Identifier: Apache-2.0
// Ranks that are threads of this process and share one GPU. In a collective every rank tells the
// others where its buffers are and an event after which they may be read; then each runs the
// kernels of its own piece on its own stream, tells the event after which that is done, and lets
// its compute stream wait for everybody's. Kernels never wait for each other inside, so nothing can
// deadlock.
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <numeric>

#include "profiler/comm/reduce.hpp"
#include "profiler/cuda/gpu_group.hpp"
#include "profiler/cuda/rank_sum.hpp"

namespace meshplan::cuda {
namespace {

/// A rank's call as the others see it. Addresses are of this process.
struct Posted {
  int32_t transfer, element, reduce, peer;
  int64_t bytes;
  const char* send;
  char* receive;
  const int64_t* send_bytes;  ///< of an all-to-all with counts, else null
  cudaEvent_t ready;
};

struct Message {
  int64_t bytes;
  void* data;
  cudaEvent_t sent;
};

class SharedGroup : public Communicator {
 public:
  SharedGroup(std::unique_ptr<Communicator> base, Stream stream, RankStreams& streams,
              Ledger* ledger)
      : Communicator(base->label(), base->rank(), base->size(), ledger),
        base_(std::move(base)),
        stream_(std::move(stream)),
        streams_(streams) {}

  Communicator& base() { return *base_; }
  cudaStream_t stream() const { return stream_.get(); }
  RankStreams& streams() { return streams_; }
  cudaStream_t compute() const { return streams_.compute.get(); }

 private:
  std::unique_ptr<Operation> start(Request request) override;

  std::unique_ptr<Communicator> base_;
  Stream stream_;  ///< of this group's copies and sums
  RankStreams& streams_;
};

class SharedCollective : public Operation, public Meeting {
 public:
  SharedCollective(SharedGroup& group, Request request)
      : group_(group), request_(std::move(request)), posted_(group.size()) {
    started_ = post();
    group_.streams().meetings.push_back(this);
  }
  SharedCollective(const SharedCollective&) = delete;
  SharedCollective& operator=(const SharedCollective&) = delete;
  ~SharedCollective() override { std::erase(group_.streams().meetings, this); }

  Status wait() override {
    MESHPLAN_CHECK(meet_in_order());
    return status_of(cudaStreamWaitEvent(group_.compute(), finished_.get(), 0), "wait");
  }
  Status settle() override {
    MESHPLAN_CHECK(meet_in_order());
    group_.streams().settled.push_back(finished_.get());
    return Done{};
  }
  int64_t moved_bytes() const override { return moved_; }

  /// Puts this rank's piece on the group's stream, once, and behind it the ends of all others.
  Status meet() override {
    if (finished_.get() != nullptr) return Done{};
    MESHPLAN_CHECK(started_);
    MESHPLAN_CHECK(exchange_.wait());
    MESHPLAN_CHECK(same_call());
    for (const Posted& other : posted_) {
      MESHPLAN_CUDA(cudaStreamWaitEvent(group_.stream(), other.ready, 0));
    }
    MESHPLAN_CHECK(carry_out());
    MESHPLAN_TRY(const Event done, make_event(false));
    MESHPLAN_CUDA(cudaEventRecord(done.get(), group_.stream()));
    std::vector<cudaEvent_t> all(posted_.size());
    const cudaEvent_t own = done.get();
    // NOLINTNEXTLINE(bugprone-sizeof-expression): the handle itself is gathered
    MESHPLAN_CHECK(group_.base().all_gather(&own, all.data(), sizeof(own)));
    // the next operation of this group may overwrite what a piece of this one still reads
    for (const cudaEvent_t event : all) {
      MESHPLAN_CUDA(cudaStreamWaitEvent(group_.stream(), event, 0));
    }
    MESHPLAN_CHECK(group_.base().barrier());  // events live until all have waited for them
    MESHPLAN_TRY(finished_, make_event(false));
    return status_of(cudaEventRecord(finished_.get(), group_.stream()), "cudaEventRecord");
  }

 private:
  Status meet_in_order() {
    std::deque<Meeting*>& all = group_.streams().meetings;
    while (!all.empty() && finished_.get() == nullptr) {
      MESHPLAN_CHECK(all.front()->meet());
      all.pop_front();
    }
    return Done{};
  }
  Status post() {
    MESHPLAN_CHECK(group_.streams().begin(group_.stream()));
    MESHPLAN_TRY(ready_, make_event(false));
    MESHPLAN_CUDA(cudaEventRecord(ready_.get(), group_.stream()));
    own_ = {static_cast<int32_t>(request_.transfer),
            static_cast<int32_t>(request_.element),
            static_cast<int32_t>(request_.reduce),
            request_.peer,
            request_.bytes,
            static_cast<const char*>(request_.send),
            static_cast<char*>(request_.receive),
            request_.send_bytes.empty() ? nullptr : request_.send_bytes.data(),
            ready_.get()};
    exchange_ = group_.base().start_all_gather(&own_, posted_.data(), sizeof(Posted));
    return Done{};
  }

  Status same_call() const {
    for (size_t r = 0; r < posted_.size(); ++r) {
      const Posted& other = posted_[r];
      if (other.transfer == own_.transfer && other.bytes == own_.bytes &&
          other.element == own_.element && other.reduce == own_.reduce && other.peer == own_.peer &&
          (other.send_bytes == nullptr) == (own_.send_bytes == nullptr)) {
        continue;
      }
      return Diagnostic{
          .kind = ErrorKind::check,
          .message = fmt::format("group {}: ranks do not call the same collective: "
                                 "{} of {} bytes, rank {} of the group: {} of {}",
                                 group_.label(), name_of(request_.transfer), own_.bytes, r,
                                 name_of(static_cast<Transfer>(other.transfer)), other.bytes)};
    }
    return Done{};
  }

  Status copy(char* to, const char* from, int64_t bytes, size_t source) {
    if (static_cast<int>(source) != group_.rank()) moved_ += bytes;
    if (bytes == 0 || to == from) return Done{};
    return status_of(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
                                     group_.stream()),
                     name_of(request_.transfer));
  }

  /// This rank's piece: what it receives; of an all-reduce its part of the sum, given to all.
  Status carry_out() {
    const int rank = group_.rank(), size = group_.size();
    switch (request_.transfer) {
      case Transfer::all_reduce: {
        const int64_t begin = part_begin(own_.bytes, request_.element, rank, size);
        const int64_t end = part_begin(own_.bytes, request_.element, rank + 1, size);
        MESHPLAN_CHECK(sum(begin, end, own_.receive + begin));
        for (size_t r = 0; r < posted_.size(); ++r) {
          if (static_cast<int>(r) == rank || begin == end) continue;
          MESHPLAN_CUDA(cudaMemcpyAsync(posted_[r].receive + begin, own_.receive + begin,
                                        static_cast<size_t>(end - begin), cudaMemcpyDeviceToDevice,
                                        group_.stream()));
        }
        moved_ += own_.bytes - (end - begin);
        return Done{};
      }
      case Transfer::reduce_scatter:
        return sum(rank * own_.bytes, (rank + 1) * own_.bytes, own_.receive);
      case Transfer::all_gather:
        for (size_t r = 0; r < posted_.size(); ++r) {
          MESHPLAN_CHECK(copy(own_.receive + static_cast<int64_t>(r) * own_.bytes, posted_[r].send,
                              own_.bytes, r));
        }
        return Done{};
      case Transfer::all_to_all:
        return all_to_all();
      case Transfer::ring_exchange: {
        const auto from = static_cast<size_t>((rank + size - 1) % size);
        return copy(own_.receive, posted_[from].send, own_.bytes, from);
      }
      case Transfer::broadcast: {
        const auto root = static_cast<size_t>(own_.peer);
        return copy(own_.receive, posted_[root].send, own_.bytes, root);
      }
      case Transfer::barrier:
        return Done{};
      case Transfer::send:
      case Transfer::receive:
        break;
    }
    return Diagnostic{.message = "no collective", .value = name_of(request_.transfer)};
  }

  Status sum(int64_t begin, int64_t end, char* out) {
    std::vector<const void*> sources;
    for (const Posted& other : posted_) sources.push_back(other.send + begin);
    moved_ += (group_.size() - 1) * (end - begin);
    return reduce_in_order(group_.stream(), request_.element, request_.reduce, sources,
                           (end - begin) / bytes_of(request_.element), out);
  }

  Status all_to_all() {
    int64_t to = 0;
    const int rank = group_.rank();
    for (size_t r = 0; r < posted_.size(); ++r) {
      const int64_t* counts = posted_[r].send_bytes;
      const int64_t bytes = counts == nullptr ? own_.bytes : counts[rank];
      const int64_t from = counts == nullptr ? rank * own_.bytes
                                             : std::accumulate(counts, counts + rank, int64_t{0});
      if (counts != nullptr && bytes != request_.receive_bytes[r]) {
        return Diagnostic{
            .kind = ErrorKind::check,
            .message = fmt::format("group {}: all-to-all: rank {} sends {} bytes, "
                                   "rank {} expects {}",
                                   group_.label(), r, bytes, rank, request_.receive_bytes[r])};
      }
      MESHPLAN_CHECK(copy(own_.receive + to, posted_[r].send + from, bytes, r));
      to += bytes;
    }
    return Done{};
  }

  SharedGroup& group_;
  Request request_;
  std::vector<Posted> posted_;
  Posted own_{};
  Event ready_, finished_;
  Pending exchange_;
  Status started_ = Done{};
  int64_t moved_ = 0;
};

/// A message is copied when it is sent, so that the sender needs no receiver; the receiver frees
/// it.
class SharedSend : public Operation {
 public:
  SharedSend(SharedGroup& group, const Request& request) : status_(send(group, request)) {}
  Status wait() override { return status_; }
  int64_t moved_bytes() const override { return 0; }

 private:
  static Status send(SharedGroup& group, const Request& request) {
    MESHPLAN_CHECK(order(group.compute(), group.stream()));
    Message message{request.bytes, nullptr, nullptr};
    if (request.bytes > 0) {
      const auto bytes = static_cast<size_t>(request.bytes);
      MESHPLAN_CUDA(cudaMallocAsync(&message.data, bytes, group.stream()));
      MESHPLAN_CUDA(cudaMemcpyAsync(message.data, request.send, bytes, cudaMemcpyDeviceToDevice,
                                    group.stream()));
    }
    MESHPLAN_CUDA(cudaEventCreateWithFlags(&message.sent, cudaEventDisableTiming));
    MESHPLAN_CUDA(cudaEventRecord(message.sent, group.stream()));
    // what is sent may be overwritten by later kernels
    MESHPLAN_CUDA(cudaStreamWaitEvent(group.compute(), message.sent, 0));
    return group.base().send(&message, sizeof(message), request.peer, request.tag);
  }
  Status status_;
};

class SharedReceive : public Operation {
 public:
  SharedReceive(SharedGroup& group, Request request)
      : group_(group),
        request_(std::move(request)),
        pending_(
            group.base().start_receive(&message_, sizeof(message_), request_.peer, request_.tag)) {}
  Status wait() override {
    MESHPLAN_CHECK(pending_.wait());
    MESHPLAN_CHECK(order(group_.compute(), group_.stream()));
    MESHPLAN_CUDA(cudaStreamWaitEvent(group_.stream(), message_.sent, 0));
    MESHPLAN_CUDA(cudaEventDestroy(message_.sent));
    if (message_.bytes != request_.bytes) {
      return Diagnostic{.kind = ErrorKind::check,
                        .message = fmt::format("group {}: a message of {} bytes where {} are "
                                               "expected",
                                               group_.label(), message_.bytes, request_.bytes)};
    }
    if (message_.bytes > 0) {
      MESHPLAN_CUDA(cudaMemcpyAsync(request_.receive, message_.data,
                                    static_cast<size_t>(request_.bytes), cudaMemcpyDeviceToDevice,
                                    group_.stream()));
      MESHPLAN_CUDA(cudaFreeAsync(message_.data, group_.stream()));
    }
    return order(group_.stream(), group_.compute());
  }
  int64_t moved_bytes() const override {
    return request_.peer == group_.rank() ? 0 : request_.bytes;
  }

 private:
  SharedGroup& group_;
  Request request_;
  Message message_{};
  Pending pending_;
};

std::unique_ptr<Operation> SharedGroup::start(Request request) {
  if (request.transfer == Transfer::send) return std::make_unique<SharedSend>(*this, request);
  if (request.transfer == Transfer::receive) {
    return std::make_unique<SharedReceive>(*this, std::move(request));
  }
  return std::make_unique<SharedCollective>(*this, std::move(request));
}

}  // namespace

Result<std::unique_ptr<Communicator>> shared_group(std::unique_ptr<Communicator> base,
                                                   RankStreams& streams, Ledger* ledger) {
  MESHPLAN_TRY(Stream stream, make_stream());
  return std::unique_ptr<Communicator>(
      std::make_unique<SharedGroup>(std::move(base), std::move(stream), streams, ledger));
}

}  // namespace meshplan::cuda
