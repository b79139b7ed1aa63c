// SPDX-License-Identifier: Apache-2.0
// State that the threads of one group share. A collective is a list of requests, one per rank; when
// the last one has come, its pieces (one per rank: what that rank receives, or its part of a sum)
// are carried out by whoever waits, each rank its own piece first. So no rank's wait depends on
// another rank's wait, only on its start, and nothing is copied twice.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "profiler/comm/world.hpp"

namespace meshplan {

/// Why the run ended; shared by all ranks of all groups.
class AbortFlag {
 public:
  bool raised() const { return raised_.load(std::memory_order_acquire); }
  /// First reason wins. The caller notifies the groups.
  void raise(const std::string& reason);
  /// The error that a call returns after raise().
  Diagnostic error() const;

 private:
  std::atomic<bool> raised_{false};
  mutable std::mutex mutex_;
  std::string reason_;
};

class ThreadGroup {
 public:
  struct Collective {
    std::vector<Request> requests;  ///< by rank
    std::vector<bool> posted, claimed;
    std::vector<int64_t> moved_bytes;  ///< by rank
    int posts = 0, running = 0, done = 0;
    bool complete() const { return done == static_cast<int>(requests.size()); }
  };
  using Key = std::tuple<int, int, int>;  ///< to, from, tag

  /// abort_all: raises the flag with a reason and wakes all groups; called without our lock.
  ThreadGroup(std::vector<int> members, std::string label, double timeout_s, const AbortFlag* flag,
              std::function<void(const std::string&)> abort_all);

  /// Adds a rank's request as its next collective.
  std::shared_ptr<Collective> post(int rank, Request request);
  Status wait(int rank, Collective& collective);
  /// The rank leaves a collective that is not complete: ends the run, then waits until nobody
  /// touches the buffers any more.
  void leave(int rank, Collective& collective);

  void send(int rank, const Request& request);
  Status receive(int rank, const Request& request);

  void wake();  ///< after an abort

 private:
  using Lock = std::unique_lock<std::mutex>;
  std::string mismatch(const Collective& collective) const;
  int next_piece(int rank, const Collective& collective) const;
  void run_piece(Lock& lock, Collective& collective, int piece);
  std::string describe(int rank, const Request& request) const;
  Status fail(Lock& lock, const std::string& reason);

  const std::vector<int> members_;
  const std::string label_;
  const double timeout_s_;
  const AbortFlag* flag_;
  const std::function<void(const std::string&)> abort_all_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint64_t> next_;  ///< by rank: number of its next collective
  std::map<uint64_t, std::shared_ptr<Collective>> open_;
  std::map<Key, std::deque<std::vector<std::byte>>> mail_;
};

}  // namespace meshplan
