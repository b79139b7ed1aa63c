// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/mpi_collective.hpp"

#include <fmt/format.h>

#include <cassert>
#include <cstring>
#include <numeric>

#include "profiler/comm/reduce.hpp"

namespace meshplan {
namespace {

char* at_byte(const void* data, int64_t offset) {
  return static_cast<char*>(const_cast<void*>(data)) + offset;  // NOLINT: send parts are only read
}

bool all_done(std::vector<MPI_Request>& requests) {
  int done = 1;
  MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
  return done != 0;
}

/// After the end of a run: nothing is received into memory that its owner takes back.
void give_up(std::vector<MPI_Request>& requests) {
  for (MPI_Request& request : requests) {
    if (request == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&request);
    MPI_Request_free(&request);
  }
}

int64_t sum_before(const std::vector<int64_t>& bytes, int r) {
  return std::accumulate(bytes.begin(), bytes.begin() + r, int64_t{0});
}

}  // namespace

MpiCollective::MpiCollective(const MpiGroup& group, int own, int64_t number, Request request)
    : group_(group),
      own_(own),
      size_(static_cast<int>(group.members.size())),
      number_(number),
      request_(std::move(request)) {
  group_.transport->add(this);
  if (group_.transport->stopped()) return;
  start_round();
  group_.transport->progress();
}

MpiCollective::~MpiCollective() {
  group_.transport->remove(this);
  if (done_) return;
  group_.transport->stop(
      fmt::format("group {}: {}: given up unfinished", group_.label, name_of(request_.transfer)));
  give_up(requests_);
}

int64_t MpiCollective::part_of(int r) const {
  return part_begin(request_.bytes, request_.element, r, size_);
}

/// Fills send_ and receive_ of this round.
void MpiCollective::plan_round() {
  const auto size = static_cast<size_t>(size_);
  send_.assign(size, {});
  receive_.assign(size, {});
  const int64_t bytes = request_.bytes;
  const bool reduces = request_.transfer == Transfer::reduce_scatter ||
                       (request_.transfer == Transfer::all_reduce && phase_ == 0);
  const int64_t own_part = request_.transfer == Transfer::all_reduce
                               ? part_of(own_ + 1) - part_of(own_)
                               : request_.bytes;
  if (reduces) scratch_.resize(static_cast<size_t>(own_part * size_));
  for (int r = 0; r < size_; ++r) {
    Part& out = send_[static_cast<size_t>(r)];
    Part& in = receive_[static_cast<size_t>(r)];
    switch (request_.transfer) {
      case Transfer::all_reduce:
        if (phase_ == 0) {
          out = {at_byte(request_.send, part_of(r)), part_of(r + 1) - part_of(r)};
          in = {scratch_.data() + r * own_part, own_part};
        } else {
          out = {at_byte(request_.receive, part_of(own_)), own_part};
          in = {at_byte(request_.receive, part_of(r)), part_of(r + 1) - part_of(r)};
        }
        break;
      case Transfer::reduce_scatter:
        out = {at_byte(request_.send, r * bytes), bytes};
        in = {scratch_.data() + r * bytes, bytes};
        break;
      case Transfer::all_gather:
        out = {at_byte(request_.send, 0), bytes};
        in = {at_byte(request_.receive, r * bytes), bytes};
        break;
      case Transfer::all_to_all:
        if (request_.send_bytes.empty()) {
          out = {at_byte(request_.send, r * bytes), bytes};
          in = {at_byte(request_.receive, r * bytes), bytes};
        } else {
          out = {at_byte(request_.send, sum_before(request_.send_bytes, r)),
                 request_.send_bytes[static_cast<size_t>(r)]};
          in = {at_byte(request_.receive, sum_before(request_.receive_bytes, r)),
                request_.receive_bytes[static_cast<size_t>(r)]};
        }
        break;
      case Transfer::ring_exchange:
        if (r == (own_ + 1) % size_) out = {at_byte(request_.send, 0), bytes};
        if (r == (own_ + size_ - 1) % size_) in = {request_.receive, bytes};
        break;
      case Transfer::broadcast:
        if (own_ == request_.peer) out = {at_byte(request_.send, 0), bytes};
        if (r == request_.peer) in = {request_.receive, bytes};
        break;
      case Transfer::barrier:
        break;
      case Transfer::send:
      case Transfer::receive:
        assert(false);
    }
  }
}

void MpiCollective::start_round() {
  plan_round();
  announced_.assign(static_cast<size_t>(size_), false);
  announced_[static_cast<size_t>(own_)] = true;
  arrived_ = 1;
  const Part& out = send_[static_cast<size_t>(own_)];
  const Part& in = receive_[static_cast<size_t>(own_)];
  if (in.bytes > 0 && in.data != out.data) {
    std::memmove(in.data, out.data, static_cast<size_t>(in.bytes));
  }
  for (int r = 0; r < size_; ++r) {
    if (r == own_) continue;
    const Part& part = send_[static_cast<size_t>(r)];
    group_.transport->send(group_.members[static_cast<size_t>(r)],
                           {.group = group_.id,
                            .number = number_,
                            .phase = phase_,
                            .transfer = static_cast<int32_t>(request_.transfer),
                            .element = static_cast<int32_t>(request_.element),
                            .reduce = static_cast<int32_t>(request_.reduce),
                            .root = request_.peer,
                            .bytes = request_.bytes,
                            .payload = part.bytes},
                           part.data, &requests_);
  }
}

std::string MpiCollective::mismatch(int from, const Header& header) const {
  const int there = group_.members[static_cast<size_t>(from)];
  const int here = group_.members[static_cast<size_t>(own_)];
  const auto transfer = static_cast<Transfer>(header.transfer);
  if (transfer != request_.transfer || header.bytes != request_.bytes ||
      header.element != static_cast<int32_t>(request_.element) ||
      header.reduce != static_cast<int32_t>(request_.reduce) || header.root != request_.peer) {
    const auto describe = [](int rank, Transfer kind, int64_t bytes) {
      return fmt::format("rank {}: {} of {} bytes", rank, name_of(kind), bytes);
    };
    std::string mine = describe(here, request_.transfer, request_.bytes);
    std::string theirs = describe(there, transfer, header.bytes);
    if (there < here) std::swap(mine, theirs);
    return fmt::format("group {}: ranks do not call the same collective: {}, {}", group_.label,
                       mine, theirs);
  }
  const int64_t expected = receive_[static_cast<size_t>(from)].bytes;
  if (header.payload == expected) return "";
  return fmt::format("group {}: all-to-all: rank {} sends {} bytes, rank {} expects {}",
                     group_.label, there, header.payload, here, expected);
}

void MpiCollective::step() {
  if (done_ || group_.transport->stopped()) return;
  for (int r = 0; r < size_ && arrived_ < size_; ++r) {
    const auto from = static_cast<size_t>(r);
    Header header;
    if (announced_[from] ||
        !group_.transport->take(group_.members[from], group_.id, number_, phase_, false, &header)) {
      continue;
    }
    if (fault_ = mismatch(r, header); !fault_.empty()) return group_.transport->stop(fault_);
    announced_[from] = true;
    ++arrived_;
    ++activity_;
    moved_ += header.payload;
    group_.transport->receive(group_.members[from], header, receive_[from].data, &requests_);
  }
  if (arrived_ == size_ && all_done(requests_)) finish_round();
}

void MpiCollective::finish_round() {
  requests_.clear();
  ++activity_;
  const bool reduces = request_.transfer == Transfer::reduce_scatter ||
                       (request_.transfer == Transfer::all_reduce && phase_ == 0);
  if (reduces) {
    std::vector<const void*> sources;
    for (const Part& part : receive_) sources.push_back(part.data);
    const bool scatter = request_.transfer == Transfer::reduce_scatter;
    char* target = at_byte(request_.receive, scatter ? 0 : part_of(own_));
    reduce_in_order(request_.element, request_.reduce, sources, 0, receive_[0].bytes,
                    [&](const void* result, int64_t offset, int64_t bytes) {
                      std::memcpy(target + offset, result, static_cast<size_t>(bytes));
                    });
  }
  if (request_.transfer == Transfer::all_reduce && phase_ == 0) {
    phase_ = 1;
    return start_round();
  }
  done_ = true;
  scratch_.clear();
}

Status MpiCollective::wait() {
  Transport& transport = *group_.transport;
  const bool came = transport.progress_until([&] { return done_ || transport.stopped(); },
                                             transport.timeout_s(), &activity_);
  if (done_) return Done{};
  if (!came) {
    std::string missing;
    for (size_t r = 0; r < announced_.size(); ++r) {
      if (!announced_[r]) missing += fmt::format(" {}", group_.members[r]);
    }
    fault_ =
        fmt::format("group {}: rank {}: {} of {} bytes: no sign of rank{} within {} s",
                    group_.label, group_.members[static_cast<size_t>(own_)],
                    name_of(request_.transfer), request_.bytes, missing, transport.timeout_s());
    transport.stop(fault_);
  }
  Diagnostic error = transport.error();
  // the one who finds the fault reports it as its own
  if (!fault_.empty() && error.message == fault_) error.rule.clear();
  return error;
}

MpiReceive::MpiReceive(const MpiGroup& group, Request request)
    : group_(group),
      from_(group.members[static_cast<size_t>(request.peer)]),
      request_(std::move(request)) {
  group_.transport->add(this);
  group_.transport->progress();
}

MpiReceive::~MpiReceive() {
  group_.transport->remove(this);
  if (!done_) give_up(requests_);
}

int64_t MpiReceive::moved_bytes() const {
  return from_ == group_.transport->rank() ? 0 : request_.bytes;
}

void MpiReceive::step() {
  if (done_ || group_.transport->stopped()) return;
  Header header;
  if (!announced_ && group_.transport->take(from_, group_.id, request_.tag, 0, true, &header)) {
    announced_ = true;
    ++activity_;
    if (header.payload != request_.bytes) {
      fault_ = fmt::format(
          "group {}: rank {}: receive of {} bytes: the message of rank {} has {} bytes",
          group_.label, group_.transport->rank(), request_.bytes, from_, header.payload);
      return group_.transport->stop(fault_);
    }
    group_.transport->receive(from_, header, request_.receive, &requests_);
  }
  if (announced_ && all_done(requests_)) done_ = true;
}

Status MpiReceive::wait() {
  Transport& transport = *group_.transport;
  const bool came = transport.progress_until([&] { return done_ || transport.stopped(); },
                                             transport.timeout_s(), &activity_);
  if (done_) return Done{};
  if (!came) {
    fault_ = fmt::format(
        "group {}: rank {}: receive of {} bytes (tag {}): no sign of rank {} within {} s",
        group_.label, transport.rank(), request_.bytes, request_.tag, from_, transport.timeout_s());
    transport.stop(fault_);
  }
  Diagnostic error = transport.error();
  if (!fault_.empty() && error.message == fault_) error.rule.clear();
  return error;
}

}  // namespace meshplan
