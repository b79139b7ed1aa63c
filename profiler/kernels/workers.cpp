// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/workers.hpp"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

// OpenBLAS only; another BLAS leaves the weak symbol null and is told by its own environment
// variables.
extern "C" void openblas_set_num_threads(int threads) __attribute__((weak));

namespace meshplan::cpu {

struct Workers::Pool {
  std::mutex mutex;
  std::condition_variable work, idle;
  std::vector<std::thread> threads;
  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t tasks = 0;
  std::atomic<int64_t> next{0};
  uint64_t round = 0;
  int running = 0;
  bool stop = false;

  void drain(int worker) {
    for (int64_t task; (task = next.fetch_add(1)) < tasks;) (*body)(task, worker);
  }

  void helper(int worker) {
    uint64_t seen = 0;
    std::unique_lock lock(mutex);
    while (true) {
      work.wait(lock, [&] { return stop || round != seen; });
      if (stop) return;
      seen = round;
      lock.unlock();
      drain(worker);
      lock.lock();
      if (--running == 0) idle.notify_one();
    }
  }
};

Workers::Workers(int size) : size_(std::max(size, 1)) {
  static const bool single = [] {
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(single);
  if (size_ == 1) return;
  pool_ = std::make_unique<Pool>();
  for (int worker = 1; worker < size_; ++worker) {
    pool_->threads.emplace_back([pool = pool_.get(), worker] { pool->helper(worker); });
  }
}

Workers::~Workers() {
  if (!pool_) return;
  {
    const std::lock_guard lock(pool_->mutex);
    pool_->stop = true;
  }
  pool_->work.notify_all();
  for (std::thread& thread : pool_->threads) thread.join();
}

void Workers::run(int64_t tasks, const std::function<void(int64_t, int)>& body) {
  if (!pool_ || tasks <= 1) {
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  {
    const std::lock_guard lock(pool_->mutex);
    assert(pool_->running == 0);
    pool_->body = &body;
    pool_->tasks = tasks;
    pool_->next = 0;
    pool_->running = size_ - 1;
    ++pool_->round;
  }
  pool_->work.notify_all();
  pool_->drain(0);
  std::unique_lock lock(pool_->mutex);
  pool_->idle.wait(lock, [&] { return pool_->running == 0; });
}

void Workers::split(int64_t count, int64_t grain,
                    const std::function<void(int64_t, int64_t)>& body) {
  const int64_t grains = (count + grain - 1) / grain;
  const int64_t pieces = std::min<int64_t>(size_, grains);
  if (pieces <= 1) {
    if (count > 0) body(0, count);
    return;
  }
  run(pieces, [&](int64_t piece, int) {
    const int64_t begin = grains * piece / pieces * grain;
    const int64_t end = std::min(count, grains * (piece + 1) / pieces * grain);
    body(begin, end);
  });
}

}  // namespace meshplan::cpu
