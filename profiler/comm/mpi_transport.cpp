// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/mpi_transport.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

namespace meshplan {
namespace {

constexpr int kHeaderTag = 0, kStopTag = 1, kStatusTag = 2, kByeTag = 3, kFirstDataTag = 4;
constexpr int64_t kLargestMessage = int64_t{1} << 30;  // MPI counts in int

/// Status of a rank as text: kind of end, then rendered parts.
std::string pack(const Status& status) {
  if (status.ok()) return "d";
  const Diagnostic& e = status.error();
  return fmt::format("{}{}\x1f{}\x1f{}", e.rule == kAbortedRule ? 'a' : 'f',
                     static_cast<int>(e.kind), e.where, e.message);
}

std::optional<Diagnostic> unpack(const std::string& text) {
  if (text.empty() || text[0] == 'd') return std::nullopt;
  const size_t first = text.find('\x1f');
  const size_t second = text.find('\x1f', first + 1);
  return Diagnostic{.kind = static_cast<ErrorKind>(std::stoi(text.substr(1, first - 1))),
                    .message = text.substr(second + 1),
                    .where = text.substr(first + 1, second - first - 1),
                    .rule = text[0] == 'a' ? kAbortedRule : ""};
}

}  // namespace

Transport::Transport(MPI_Comm comm, double timeout_s) : comm_(comm), timeout_s_(timeout_s) {
  MPI_Comm_rank(comm, &rank_);
  MPI_Comm_size(comm, &size_);
  int* bound = nullptr;
  int found = 0;
  MPI_Comm_get_attr(comm, MPI_TAG_UB, static_cast<void*>(&bound), &found);
  if (found != 0) largest_tag_ = *bound;
}

void Transport::send(int to, Header header, const void* data, std::vector<MPI_Request>* requests) {
  header.data_tag = kFirstDataTag + next_tag_;
  next_tag_ = (next_tag_ + 1) % (largest_tag_ - kFirstDataTag);
  Kept& kept = kept_.emplace_back();
  kept.bytes.resize(sizeof(Header));
  std::memcpy(kept.bytes.data(), &header, sizeof(Header));
  MPI_Isend(kept.bytes.data(), sizeof(Header), MPI_BYTE, to, kHeaderTag, comm_,
            &kept.requests.emplace_back());
  for (int64_t at = 0; at < header.payload; at += kLargestMessage) {
    const auto count = static_cast<int>(std::min(kLargestMessage, header.payload - at));
    MPI_Isend(static_cast<const char*>(data) + at, count, MPI_BYTE, to, header.data_tag, comm_,
              &requests->emplace_back());
  }
}

void Transport::send_copy(int to, Header header, const void* data) {
  std::vector<char> copy(static_cast<size_t>(header.payload));
  if (!copy.empty()) std::memcpy(copy.data(), data, copy.size());
  std::vector<MPI_Request> requests;
  send(to, header, copy.data(), &requests);
  kept_.push_back({std::move(copy), std::move(requests)});
}

bool Transport::take(int from, uint64_t group, int64_t number, int32_t phase, bool message,
                     Header* header) {
  const auto found = inbox_.find({from, group, number, phase, message ? 1 : 0});
  if (found == inbox_.end()) return false;
  *header = found->second.front();
  found->second.pop_front();
  if (found->second.empty()) inbox_.erase(found);
  return true;
}

void Transport::receive(int from, const Header& header, void* data,
                        std::vector<MPI_Request>* requests) {
  for (int64_t at = 0; at < header.payload; at += kLargestMessage) {
    const auto count = static_cast<int>(std::min(kLargestMessage, header.payload - at));
    MPI_Irecv(static_cast<char*>(data) + at, count, MPI_BYTE, from, header.data_tag, comm_,
              &requests->emplace_back());
  }
}

void Transport::poll_headers() {
  while (true) {
    int found = 0;
    MPI_Message message;
    MPI_Status status;
    MPI_Improbe(MPI_ANY_SOURCE, kHeaderTag, comm_, &found, &message, &status);
    if (found == 0) return;
    Header header;
    MPI_Mrecv(&header, sizeof(Header), MPI_BYTE, &message, MPI_STATUS_IGNORE);
    inbox_[{status.MPI_SOURCE, header.group, header.number, header.phase, header.message}]
        .push_back(header);
  }
}

void Transport::poll_control() {
  for (const int tag : {kStopTag, kStatusTag, kByeTag}) {
    while (true) {
      int found = 0;
      MPI_Message message;
      MPI_Status status;
      MPI_Improbe(MPI_ANY_SOURCE, tag, comm_, &found, &message, &status);
      if (found == 0) break;
      int length = 0;
      MPI_Get_count(&status, MPI_BYTE, &length);
      std::string text(static_cast<size_t>(length), '\0');
      MPI_Mrecv(text.data(), length, MPI_BYTE, &message, MPI_STATUS_IGNORE);
      if (tag == kStatusTag) statuses_[status.MPI_SOURCE] = text;
      if (tag == kByeTag) dismissed_ = true;
      if (tag == kStopTag && !stopped_) {
        stopped_ = true;
        reason_ = text;
      }
    }
  }
}

void Transport::forget_sent() {
  for (auto kept = kept_.begin(); kept != kept_.end();) {
    int done = 0;
    MPI_Testall(static_cast<int>(kept->requests.size()), kept->requests.data(), &done,
                MPI_STATUSES_IGNORE);
    kept = done != 0 ? kept_.erase(kept) : std::next(kept);
  }
}

void Transport::progress() {
  poll_headers();
  poll_control();
  forget_sent();
  const std::vector<Active*> now(active_.begin(), active_.end());
  for (Active* active : now) {
    if (active_.contains(active)) active->step();
  }
}

bool Transport::progress_until(const std::function<bool()>& done, double seconds,
                               const int64_t* activity) {
  using Clock = std::chrono::steady_clock;
  auto begin = Clock::now();
  int64_t seen = activity != nullptr ? *activity : 0;
  for (int64_t round = 0;; ++round) {
    progress();
    if (done()) return true;
    if (activity != nullptr && *activity != seen) {
      seen = *activity;
      begin = Clock::now();
    }
    if (std::chrono::duration<double>(Clock::now() - begin).count() > seconds) return false;
    if (round < 1000) {
      std::this_thread::yield();
    } else {  // more ranks than cores: leave the core to those that compute
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
}

void Transport::send_control(int to, int tag, const std::string& text) {
  Kept& kept = kept_.emplace_back();
  kept.bytes.assign(text.begin(), text.end());
  MPI_Isend(kept.bytes.data(), static_cast<int>(kept.bytes.size()), MPI_BYTE, to, tag, comm_,
            &kept.requests.emplace_back());
}

void Transport::stop(const std::string& reason) {
  if (stopped_) return;
  stopped_ = true;
  reason_ = reason;
  for (int r = 0; r < size_; ++r) {
    if (r != rank_) send_control(r, kStopTag, reason);
  }
}

Diagnostic Transport::error() const {
  return {.kind = ErrorKind::check, .message = reason_, .rule = kAbortedRule};
}

bool Transport::gather_status(Status* status) {
  if (rank_ != 0) {
    send_control(0, kStatusTag, pack(*status));
    const bool heard = progress_until([&] { return dismissed_; }, 6 * timeout_s_);
    return heard && !stopped_ && status->ok();
  }
  statuses_[0] = pack(*status);
  const auto all = [&] { return static_cast<int>(statuses_.size()) == size_; };
  const bool complete = progress_until(all, 2 * timeout_s_) ||
                        (stop("a rank has not finished two time-outs after another one"),
                         progress_until(all, 2 * timeout_s_));
  *status = Done{};
  for (const auto& [rank, text] : statuses_) {
    const std::optional<Diagnostic> error = unpack(text);
    const bool better =
        error &&
        (status->ok() || (status->error().rule == kAbortedRule && error->rule != kAbortedRule));
    if (better) *status = *error;
  }
  if (!complete) {
    std::string missing;
    for (int r = 0; r < size_; ++r) {
      if (!statuses_.contains(r)) missing += fmt::format(" {}", r);
    }
    if (status->ok()) *status = error();
    Diagnostic named = status->error();
    named.notes.push_back(
        fmt::format("rank{} neither communicates nor returns and is ended", missing));
    *status = named;
  }
  for (int r = 1; r < size_; ++r) send_control(r, kByeTag, "");
  const bool sent = progress_until([&] { return kept_.empty(); }, complete ? timeout_s_ : 0.1);
  return complete && sent && !stopped_ && status->ok();
}

}  // namespace meshplan
