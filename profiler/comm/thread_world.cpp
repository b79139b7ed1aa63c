// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/thread_world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <optional>
#include <thread>

#include "profiler/comm/thread_group.hpp"

namespace meshplan {
namespace {

/// Owned by every rank thread, so that a rank left running has nothing pulled from under it.
struct Shared {
  int ranks = 0;
  WorldOptions options;
  RankFunction function;
  AbortFlag flag;
  std::mutex mutex;
  std::condition_variable finished;
  // members, label, how many such groups the rank had before
  std::map<std::tuple<std::vector<int>, std::string, int>, std::shared_ptr<ThreadGroup>> groups;
  std::vector<std::optional<Status>> results;  ///< by rank

  void stop(const std::string& reason) {
    flag.raise(reason);
    std::vector<std::shared_ptr<ThreadGroup>> all;
    {
      const std::lock_guard lock(mutex);
      for (const auto& [key, group] : groups) all.push_back(group);
    }
    for (const auto& group : all) group->wake();
  }
};

class ThreadCollective : public Operation {
 public:
  ThreadCollective(std::shared_ptr<ThreadGroup> group, int rank, Request request)
      : group_(std::move(group)), rank_(rank), state_(group_->post(rank, std::move(request))) {}
  ThreadCollective(const ThreadCollective&) = delete;
  ThreadCollective& operator=(const ThreadCollective&) = delete;
  ~ThreadCollective() override { group_->leave(rank_, *state_); }
  Status wait() override { return group_->wait(rank_, *state_); }
  int64_t moved_bytes() const override { return state_->moved_bytes[static_cast<size_t>(rank_)]; }

 private:
  std::shared_ptr<ThreadGroup> group_;
  int rank_;
  std::shared_ptr<ThreadGroup::Collective> state_;
};

class ThreadSend : public Operation {
 public:
  explicit ThreadSend(Status status) : status_(std::move(status)) {}
  Status wait() override { return status_; }
  int64_t moved_bytes() const override { return 0; }

 private:
  Status status_;
};

class ThreadReceive : public Operation {
 public:
  ThreadReceive(std::shared_ptr<ThreadGroup> group, int rank, Request request)
      : group_(std::move(group)), rank_(rank), request_(std::move(request)) {}
  Status wait() override { return group_->receive(rank_, request_); }
  int64_t moved_bytes() const override { return request_.peer == rank_ ? 0 : request_.bytes; }

 private:
  std::shared_ptr<ThreadGroup> group_;
  int rank_;
  Request request_;
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::string label, int rank, int size, Ledger* ledger,
                     std::shared_ptr<ThreadGroup> group, const AbortFlag* flag)
      : Communicator(std::move(label), rank, size, ledger), group_(std::move(group)), flag_(flag) {}

 private:
  std::unique_ptr<Operation> start(Request request) override {
    if (request.transfer == Transfer::receive) {
      return std::make_unique<ThreadReceive>(group_, rank(), std::move(request));
    }
    if (request.transfer != Transfer::send) {
      return std::make_unique<ThreadCollective>(group_, rank(), std::move(request));
    }
    if (flag_->raised()) return std::make_unique<ThreadSend>(flag_->error());
    group_->send(rank(), request);
    return std::make_unique<ThreadSend>(Done{});
  }

  std::shared_ptr<ThreadGroup> group_;
  const AbortFlag* flag_;
};

class ThreadWorld : public World {
 public:
  ThreadWorld(std::shared_ptr<Shared> shared, int rank) : shared_(std::move(shared)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return shared_->ranks; }
  void stop(const std::string& reason) override { shared_->stop(reason); }

  Result<std::unique_ptr<Communicator>> group(const std::vector<int>& members,
                                              const std::string& label) override {
    MESHPLAN_TRY(const int own, place_in_group(members, label));
    const int number = made_[{members, label}]++;
    const std::lock_guard lock(shared_->mutex);
    std::shared_ptr<ThreadGroup>& slot = shared_->groups[{members, label, number}];
    if (!slot) {
      slot = std::make_shared<ThreadGroup>(
          members, label, shared_->options.timeout_s, &shared_->flag,
          [shared = shared_.get()](const std::string& reason) { shared->stop(reason); });
    }
    return std::unique_ptr<Communicator>(std::make_unique<ThreadCommunicator>(
        label, own, static_cast<int>(members.size()), &ledger(), slot, &shared_->flag));
  }

 private:
  std::shared_ptr<Shared> shared_;
  int rank_;
  std::map<std::pair<std::vector<int>, std::string>, int> made_;
};

void rank_main(const std::shared_ptr<Shared>& shared, int rank) {
  Status status = Done{};
  {
    ThreadWorld world(shared, rank);
    status = guarded_rank(shared->function, world);
  }
  if (!status.ok()) {
    const std::string where = fmt::format("rank {}", rank);
    if (status.error().rule != kAbortedRule) {
      shared->stop(fmt::format("{} failed: {}", where, status.error().message));
    }
    status = at(status.error(), where);
  }
  // the last use of shared by name; the thread's own reference goes after that
  const std::lock_guard lock(shared->mutex);
  shared->results[static_cast<size_t>(rank)] = std::move(status);
  shared->finished.notify_all();
}

/// Ranks without a result, after waiting as run_ranks promises.
std::vector<int> wait_for_all(Shared& shared) {
  // twice: a call that times out names the missing rank, so let it come first
  const auto timeout = std::chrono::duration<double>(2 * shared.options.timeout_s);
  std::unique_lock lock(shared.mutex);
  const auto missing = [&] {
    std::vector<int> left;
    for (int rank = 0; rank < shared.ranks; ++rank) {
      if (!shared.results[static_cast<size_t>(rank)]) left.push_back(rank);
    }
    return left;
  };
  const auto all_done = [&] { return missing().empty(); };
  shared.finished.wait(lock, [&] { return static_cast<int>(missing().size()) < shared.ranks; });
  if (shared.finished.wait_for(lock, timeout, all_done)) return {};
  const std::string reason = fmt::format("rank {} has not finished {} s after another rank",
                                         fmt::join(missing(), " "), timeout.count());
  lock.unlock();
  shared.stop(reason);
  lock.lock();
  shared.finished.wait_for(lock, timeout, all_done);
  return missing();
}

}  // namespace

Status run_ranks(int ranks, const WorldOptions& options, const RankFunction& rank) {
  assert(ranks >= 1);
  const auto shared = std::make_shared<Shared>();
  shared->ranks = ranks;
  shared->options = options;
  shared->function = rank;
  shared->results.resize(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(ranks));
  for (int r = 0; r < ranks; ++r) threads.emplace_back(rank_main, shared, r);
  const std::vector<int> left = wait_for_all(*shared);
  for (int r = 0; r < ranks; ++r) {
    std::thread& thread = threads[static_cast<size_t>(r)];
    const bool running = std::find(left.begin(), left.end(), r) != left.end();
    running ? thread.detach() : thread.join();
  }
  const std::lock_guard lock(shared->mutex);
  const Diagnostic* first = nullptr;
  for (const std::optional<Status>& result : shared->results) {
    if (!result || result->ok()) continue;
    if (first == nullptr || (first->rule == kAbortedRule && result->error().rule != kAbortedRule)) {
      first = &result->error();
    }
  }
  if (left.empty()) return first == nullptr ? Status(Done{}) : Status(*first);
  Diagnostic error = first != nullptr ? *first : shared->flag.error();
  error.notes.push_back(fmt::format("rank {} neither communicates nor returns and is left running",
                                    fmt::join(left, " ")));
  return error;
}

}  // namespace meshplan
