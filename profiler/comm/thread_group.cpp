// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/thread_group.hpp"

#include <fmt/format.h>

#include <cassert>
#include <chrono>
#include <cstring>

#include "profiler/comm/thread_pieces.hpp"

namespace meshplan {
namespace {

auto deadline_after(double seconds) {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(
             std::chrono::duration<double>(seconds));
}

}  // namespace

void AbortFlag::raise(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (raised_) return;
  reason_ = reason;
  raised_.store(true, std::memory_order_release);
}

Diagnostic AbortFlag::error() const {
  const std::lock_guard lock(mutex_);
  return {.kind = ErrorKind::check, .message = reason_, .rule = kAbortedRule};
}

ThreadGroup::ThreadGroup(std::vector<int> members, std::string label, double timeout_s,
                         const AbortFlag* flag, std::function<void(const std::string&)> abort_all)
    : members_(std::move(members)),
      label_(std::move(label)),
      timeout_s_(timeout_s),
      flag_(flag),
      abort_all_(std::move(abort_all)),
      next_(members_.size(), 0) {}

std::string ThreadGroup::describe(int rank, const Request& request) const {
  return fmt::format("rank {}: {} of {} bytes", members_[static_cast<size_t>(rank)],
                     name_of(request.transfer), request.bytes);
}

std::shared_ptr<ThreadGroup::Collective> ThreadGroup::post(int rank, Request request) {
  const auto at = static_cast<size_t>(rank);
  const Lock lock(mutex_);
  const uint64_t number = next_[at]++;
  std::shared_ptr<Collective>& slot = open_[number];
  if (!slot) {
    slot = std::make_shared<Collective>();
    const size_t size = members_.size();
    slot->requests.resize(size);
    slot->posted.resize(size, false);
    slot->claimed.resize(size, false);
    slot->moved_bytes.resize(size, 0);
  }
  std::shared_ptr<Collective> collective = slot;
  collective->requests[at] = std::move(request);
  collective->posted[at] = true;
  if (++collective->posts == static_cast<int>(members_.size())) {
    open_.erase(number);
    changed_.notify_all();
  }
  return collective;
}

Status ThreadGroup::fail(Lock& lock, const std::string& reason) {
  lock.unlock();
  abort_all_(reason);
  lock.lock();
  Diagnostic error = flag_->error();
  // the one who finds the fault reports it as its own
  if (error.message == reason) error.rule.clear();
  return error;
}

std::string ThreadGroup::mismatch(const Collective& collective) const {
  const Request& first = collective.requests[0];
  for (size_t r = 0; r < members_.size(); ++r) {
    const Request& other = collective.requests[r];
    const bool equal = other.transfer == first.transfer && other.bytes == first.bytes &&
                       other.element == first.element && other.reduce == first.reduce &&
                       other.peer == first.peer &&
                       other.send_bytes.size() == first.send_bytes.size();
    if (!equal) {
      return fmt::format("group {}: ranks do not call the same collective: {}, {}", label_,
                         describe(0, first), describe(static_cast<int>(r), other));
    }
    for (size_t k = 0; k < other.send_bytes.size(); ++k) {
      const int64_t expected = collective.requests[k].receive_bytes[r];
      if (other.send_bytes[k] == expected) continue;
      return fmt::format("group {}: all-to-all: rank {} sends {} bytes, rank {} expects {}", label_,
                         members_[r], other.send_bytes[k], members_[k], expected);
    }
  }
  return "";
}

int ThreadGroup::next_piece(int rank, const Collective& collective) const {
  if (!collective.claimed[static_cast<size_t>(rank)]) return rank;
  for (size_t piece = 0; piece < members_.size(); ++piece) {
    if (!collective.claimed[piece]) return static_cast<int>(piece);
  }
  return -1;
}

void ThreadGroup::run_piece(Lock& lock, Collective& collective, int piece) {
  collective.claimed[static_cast<size_t>(piece)] = true;
  ++collective.running;
  lock.unlock();
  const std::vector<int64_t> moved = carry_out(collective.requests, piece);
  lock.lock();
  for (size_t r = 0; r < moved.size(); ++r) collective.moved_bytes[r] += moved[r];
  --collective.running;
  ++collective.done;
  if (collective.complete() || flag_->raised()) changed_.notify_all();
}

Status ThreadGroup::wait(int rank, Collective& collective) {
  const int size = static_cast<int>(members_.size());
  const auto deadline = deadline_after(timeout_s_);
  Lock lock(mutex_);
  while (!collective.complete()) {
    if (flag_->raised()) {
      changed_.wait(lock, [&] { return collective.running == 0; });
      return flag_->error();
    }
    if (collective.posts == size) {
      if (collective.done == 0 && collective.running == 0) {
        if (const std::string reason = mismatch(collective); !reason.empty()) {
          return fail(lock, reason);
        }
      }
      if (const int piece = next_piece(rank, collective); piece >= 0) {
        run_piece(lock, collective, piece);
      } else {  // others are copying: no time-out needed
        changed_.wait(lock, [&] { return collective.complete() || flag_->raised(); });
      }
      continue;
    }
    if (changed_.wait_until(lock, deadline) == std::cv_status::timeout && collective.posts < size) {
      std::string missing;
      for (size_t r = 0; r < members_.size(); ++r) {
        if (!collective.posted[r]) missing += fmt::format(" {}", members_[r]);
      }
      const Request& own = collective.requests[static_cast<size_t>(rank)];
      return fail(lock, fmt::format("group {}: {}: no sign of rank{} within {} s", label_,
                                    describe(rank, own), missing, timeout_s_));
    }
  }
  return Done{};
}

void ThreadGroup::leave(int rank, Collective& collective) {
  Lock lock(mutex_);
  if (collective.complete()) return;
  if (!flag_->raised()) {
    static_cast<void>(
        fail(lock, fmt::format("group {}: {}: given up unfinished", label_,
                               describe(rank, collective.requests[static_cast<size_t>(rank)]))));
  }
  changed_.wait(lock, [&] { return collective.running == 0; });
}

void ThreadGroup::send(int rank, const Request& request) {
  const auto* begin = static_cast<const std::byte*>(request.send);
  std::vector<std::byte> message(begin, begin + request.bytes);
  const Lock lock(mutex_);
  mail_[{request.peer, rank, request.tag}].push_back(std::move(message));
  changed_.notify_all();
}

Status ThreadGroup::receive(int rank, const Request& request) {
  const auto deadline = deadline_after(timeout_s_);
  const Key key{rank, request.peer, request.tag};
  Lock lock(mutex_);
  while (true) {
    if (flag_->raised()) return flag_->error();
    if (const auto box = mail_.find(key); box != mail_.end()) {
      const std::vector<std::byte> message = std::move(box->second.front());
      box->second.pop_front();
      if (box->second.empty()) mail_.erase(box);
      if (static_cast<int64_t>(message.size()) != request.bytes) {
        return fail(lock, fmt::format("group {}: {}: the message of rank {} has {} bytes", label_,
                                      describe(rank, request),
                                      members_[static_cast<size_t>(request.peer)], message.size()));
      }
      lock.unlock();
      if (!message.empty()) std::memcpy(request.receive, message.data(), message.size());
      return Done{};
    }
    if (changed_.wait_until(lock, deadline) == std::cv_status::timeout && !mail_.contains(key)) {
      return fail(lock, fmt::format("group {}: {} (tag {}): no sign of rank {} within {} s", label_,
                                    describe(rank, request), request.tag,
                                    members_[static_cast<size_t>(request.peer)], timeout_s_));
    }
  }
}

void ThreadGroup::wake() {
  { const std::lock_guard lock(mutex_); }  // nobody is between its check of the flag and its sleep
  changed_.notify_all();
}

}  // namespace meshplan
