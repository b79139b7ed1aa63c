// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/tcp_world.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string_view>

#include "profiler/comm/gpu_world.hpp"
#include "profiler/comm/reduce.hpp"
#include "profiler/comm/tcp_transport.hpp"
#include "profiler/comm/transport_world.hpp"

namespace meshplan {
namespace {

using TcpGroup = TransportGroup<TcpTransport>;

/// Every rank sends every other one its part when the call starts, and combines when it waits. An
/// all-reduce then goes round once more with the sums.
class TcpCollective : public Operation {
 public:
  TcpCollective(const TcpGroup& group, int own, int64_t number, Request request)
      : group_(group), own_(own), number_(number), request_(std::move(request)) {
    send_parts(0);
  }
  TcpCollective(const TcpCollective&) = delete;
  TcpCollective& operator=(const TcpCollective&) = delete;
  ~TcpCollective() override {
    if (!done_)
      group_.transport->stop(describe(own_, request_.transfer, request_.bytes) +
                             ": given up unfinished");
  }

  Status wait() override {
    if (done_) return Done{};
    MESHPLAN_TRY(std::vector<TcpFrame> frames, take_parts(0));
    combine(frames);
    if (request_.transfer == Transfer::all_reduce) {
      send_parts(1);
      MESHPLAN_TRY(frames, take_parts(1));
      for (int r = 0; r < size(); ++r) {
        const std::vector<char>& sum = frames[static_cast<size_t>(r)].data;
        if (!sum.empty()) std::memcpy(received(sum_begin(r)), sum.data(), sum.size());
      }
    }
    done_ = true;
    return Done{};
  }
  int64_t moved_bytes() const override { return moved_; }

 private:
  int size() const { return static_cast<int>(group_.members.size()); }
  char* received(int64_t offset) const { return static_cast<char*>(request_.receive) + offset; }
  /// All-reduce: first byte of the part that rank r sums.
  int64_t sum_begin(int r) const { return part_begin(request_.bytes, request_.element, r, size()); }
  int64_t sum_bytes(int r) const { return sum_begin(r + 1) - sum_begin(r); }

  void send_parts(int round) const {
    for (int r = 0; r < size(); ++r) {
      if (r == own_) continue;
      const std::pair<const char*, int64_t> sum{received(sum_begin(own_)), sum_bytes(own_)};
      const auto [data, bytes] = round == 0 ? part_for(r) : sum;
      group_.transport->send({.kind = TcpHeader::collective,
                              .to = group_.members[static_cast<size_t>(r)],
                              .transfer = static_cast<int32_t>(request_.transfer),
                              .element = static_cast<int32_t>(request_.element),
                              .reduce = static_cast<int32_t>(request_.reduce),
                              .root = request_.peer,
                              .group = group_.id,
                              .number = 2 * number_ + round,
                              .bytes = request_.bytes,
                              .payload = bytes},
                             data);
    }
  }
  /// By rank; this one's own is empty.
  Result<std::vector<TcpFrame>> take_parts(int round) {
    std::vector<TcpFrame> frames(static_cast<size_t>(size()));
    for (int r = 0; r < size(); ++r) {
      if (r == own_) continue;
      MESHPLAN_TRY(TcpFrame frame,
                   group_.transport->take(
                       TcpHeader::collective, group_.members[static_cast<size_t>(r)], group_.id,
                       2 * number_ + round, describe(own_, request_.transfer, request_.bytes)));
      MESHPLAN_CHECK(same_call(r, frame.header, round == 0 ? expected_of(r) : sum_bytes(r)));
      moved_ += frame.header.payload;
      frames[static_cast<size_t>(r)] = std::move(frame);
    }
    return frames;
  }
  const char* sent(int64_t offset) const {
    return static_cast<const char*>(request_.send) + offset;
  }
  static int64_t before(const std::vector<int64_t>& bytes, int r) {
    return std::accumulate(bytes.begin(), bytes.begin() + r, int64_t{0});
  }
  std::string describe(int r, Transfer transfer, int64_t bytes) const {
    return fmt::format("group {}: rank {}: {} of {} bytes", group_.label,
                       group_.members[static_cast<size_t>(r)], name_of(transfer), bytes);
  }

  /// What rank r of the group gets of this one.
  std::pair<const char*, int64_t> part_for(int r) const {
    const int64_t bytes = request_.bytes;
    switch (request_.transfer) {
      case Transfer::all_reduce:
        return {sent(sum_begin(r)), sum_bytes(r)};
      case Transfer::all_gather:
        return {sent(0), bytes};
      case Transfer::reduce_scatter:
        return {sent(r * bytes), bytes};
      case Transfer::all_to_all:
        if (request_.send_bytes.empty()) return {sent(r * bytes), bytes};
        return {sent(before(request_.send_bytes, r)), request_.send_bytes[static_cast<size_t>(r)]};
      case Transfer::ring_exchange:
        return {sent(0), r == (own_ + 1) % size() ? bytes : 0};
      case Transfer::broadcast:
        return {sent(0), own_ == request_.peer ? bytes : 0};
      case Transfer::barrier:
      case Transfer::send:
      case Transfer::receive:
        break;
    }
    return {nullptr, 0};
  }
  /// Bytes that rank r sends this one.
  int64_t expected_of(int r) const {
    switch (request_.transfer) {
      case Transfer::all_to_all:
        return request_.receive_bytes.empty() ? request_.bytes
                                              : request_.receive_bytes[static_cast<size_t>(r)];
      case Transfer::ring_exchange:
        return r == (own_ + size() - 1) % size() ? request_.bytes : 0;
      case Transfer::broadcast:
        return r == request_.peer ? request_.bytes : 0;
      case Transfer::all_reduce:
        return sum_bytes(own_);
      case Transfer::all_gather:
      case Transfer::reduce_scatter:
        return request_.bytes;
      case Transfer::barrier:
      case Transfer::send:
      case Transfer::receive:
        break;
    }
    return 0;
  }

  Status same_call(int r, const TcpHeader& other, int64_t expected) {
    std::string reason;
    const auto transfer = static_cast<Transfer>(other.transfer);
    if (transfer != request_.transfer || other.bytes != request_.bytes ||
        other.element != static_cast<int32_t>(request_.element) ||
        other.reduce != static_cast<int32_t>(request_.reduce) || other.root != request_.peer) {
      const auto call = [&](int who, Transfer kind, int64_t bytes) {
        return fmt::format("rank {}: {} of {} bytes", group_.members[static_cast<size_t>(who)],
                           name_of(kind), bytes);
      };
      std::string mine = call(own_, request_.transfer, request_.bytes);
      std::string theirs = call(r, transfer, other.bytes);
      if (r < own_) std::swap(mine, theirs);
      reason = fmt::format("group {}: ranks do not call the same collective: {}, {}", group_.label,
                           mine, theirs);
    } else if (other.payload != expected) {
      reason = fmt::format("group {}: all-to-all: rank {} sends {} bytes, rank {} expects {}",
                           group_.label, group_.members[static_cast<size_t>(r)], other.payload,
                           group_.members[static_cast<size_t>(own_)], expected);
    }
    if (reason.empty()) return Done{};
    group_.transport->stop(reason);
    return Diagnostic{.kind = ErrorKind::check, .message = reason};
  }

  void combine(const std::vector<TcpFrame>& frames) {
    const auto own_part = part_for(own_);
    const auto part = [&](int r) {
      return r == own_ ? own_part.first : frames[static_cast<size_t>(r)].data.data();
    };
    const bool reduces = request_.transfer == Transfer::all_reduce;
    if (reduces || request_.transfer == Transfer::reduce_scatter) {
      std::vector<const void*> sources;
      sources.reserve(static_cast<size_t>(size()));
      for (int r = 0; r < size(); ++r) sources.push_back(part(r));
      char* const to = received(reduces ? sum_begin(own_) : 0);
      reduce_in_order(request_.element, request_.reduce, sources, 0, own_part.second,
                      [&](const void* result, int64_t offset, int64_t bytes) {
                        std::memcpy(to + offset, result, static_cast<size_t>(bytes));
                      });
      return;
    }
    const bool all =
        request_.transfer == Transfer::all_gather || request_.transfer == Transfer::all_to_all;
    int64_t at = 0;
    for (int r = 0; r < size(); ++r) {
      const int64_t bytes = r == own_ && !all && size() > 1 ? 0 : expected_of(r);
      if (bytes > 0 && part(r) != received(at)) {
        std::memmove(received(at), part(r), static_cast<size_t>(bytes));
      }
      if (all) at += bytes;
    }
  }

  TcpGroup group_;
  int own_;
  int64_t number_;
  Request request_;
  int64_t moved_ = 0;
  bool done_ = false;
};

class TcpMessage : public Operation {
 public:
  TcpMessage(TcpGroup group, Request request)
      : group_(std::move(group)), request_(std::move(request)) {
    if (request_.transfer != Transfer::send) return;
    group_.transport->send({.kind = TcpHeader::message,
                            .to = other(),
                            .group = group_.id,
                            .number = request_.tag,
                            .bytes = request_.bytes,
                            .payload = request_.bytes},
                           request_.send);
  }
  Status wait() override {
    TcpTransport& transport = *group_.transport;
    if (request_.transfer == Transfer::send) {
      return transport.stopped() ? Status(transport.error()) : Status(Done{});
    }
    const std::string what =
        fmt::format("group {}: rank {}: receive of {} bytes (tag {})", group_.label,
                    transport.rank(), request_.bytes, request_.tag);
    MESHPLAN_TRY(const TcpFrame frame,
                 transport.take(TcpHeader::message, other(), group_.id, request_.tag, what));
    if (frame.header.payload != request_.bytes) {
      const std::string reason = fmt::format("{}: the message of rank {} has {} bytes", what,
                                             other(), frame.header.payload);
      transport.stop(reason);
      return Diagnostic{.kind = ErrorKind::check, .message = reason};
    }
    if (!frame.data.empty()) std::memcpy(request_.receive, frame.data.data(), frame.data.size());
    return Done{};
  }
  int64_t moved_bytes() const override {
    const bool comes =
        request_.transfer == Transfer::receive && other() != group_.transport->rank();
    return comes ? request_.bytes : 0;
  }

 private:
  int other() const { return group_.members[static_cast<size_t>(request_.peer)]; }
  TcpGroup group_;
  Request request_;
};

class TcpCommunicator : public Communicator {
 public:
  TcpCommunicator(TcpGroup group, int own, Ledger* ledger)
      : Communicator(group.label, own, static_cast<int>(group.members.size()), ledger),
        group_(std::move(group)) {}

 private:
  std::unique_ptr<Operation> start(Request request) override {
    if (request.transfer == Transfer::send || request.transfer == Transfer::receive) {
      return std::make_unique<TcpMessage>(group_, std::move(request));
    }
    return std::make_unique<TcpCollective>(group_, rank(), next_++, std::move(request));
  }
  TcpGroup group_;
  int64_t next_ = 0;
};

using TcpWorld = TransportWorld<TcpTransport, TcpCommunicator>;

}  // namespace

Status run_tcp_rank(const TcpPlace& place, const WorldOptions& options, const RankFunction& rank) {
  MESHPLAN_TRY(const std::unique_ptr<TcpTransport> transport,
               TcpTransport::open(place, options.timeout_s));
  Status status = Done{};
  {
    TcpWorld world(transport.get());
    status = guarded_rank(rank, world);
  }
  if (!status.ok()) {
    const std::string where = fmt::format("rank {}", place.rank);
    if (status.error().rule != kAbortedRule) {
      transport->stop(fmt::format("{} failed: {}", where, status.error().message));
    }
    status = at(status.error(), where);
  }
  return transport->finish(status);
}

Result<std::optional<TcpPlace>> tcp_place_from_environment() {
  const LaunchedRank launched = launched_rank();
  const char* address = std::getenv("MASTER_ADDR");
  const char* port = std::getenv("MASTER_PORT");
  if (launched.rank < 0 || launched.size < 1 || address == nullptr || port == nullptr) {
    return std::optional<TcpPlace>();
  }
  TcpPlace place{launched.rank, launched.size, address, 0};
  const char* end = port + std::strlen(port);
  const auto [stop, fault] = std::from_chars(port, end, place.port);
  if (fault != std::errc() || stop != end || place.port == 0 || place.port == UINT16_MAX ||
      place.rank >= place.size) {
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "not the place of a rank",
                      .where = "RANK, WORLD_SIZE, MASTER_PORT",
                      .value = fmt::format("{}, {}, {}", place.rank, place.size, port),
                      .hint = "a rank below the number of ranks, and a port"};
  }
  const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
  if (agent != nullptr && std::string_view(agent) == "True") ++place.port;
  return std::optional<TcpPlace>(place);
}

}  // namespace meshplan
