// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/progress.hpp"

#include <unistd.h>

#include <chrono>
#include <iostream>

namespace meshplan::cli {

Progress::Progress(std::string what) : what_(std::move(what)) {
  if (isatty(STDERR_FILENO) == 0) return;
  thread_ = std::thread([this] {
    const auto start = std::chrono::steady_clock::now();
    bool shown = false;
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(500), [this] { return done_; })) {
      const auto passed = std::chrono::steady_clock::now() - start;
      const double tenths =
          static_cast<double>(
              std::chrono::duration_cast<std::chrono::milliseconds>(passed).count()) /
          100;
      std::cerr << "\r\033[K" << what_ << ' ' << static_cast<int64_t>(tenths) / 10 << '.'
                << static_cast<int64_t>(tenths) % 10 << " s" << std::flush;
      shown = true;
    }
    if (shown) std::cerr << "\r\033[K" << std::flush;
  });
}

void Progress::say(std::string what) {
  const std::lock_guard lock(mutex_);
  what_ = std::move(what);
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

}  // namespace meshplan::cli
