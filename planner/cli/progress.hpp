// SPDX-License-Identifier: Apache-2.0
// Is it still working? One line on standard error of a terminal once half a second has passed;
// wiped when done. Nothing where standard error is no terminal.
#pragma once
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace meshplan::cli {

class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  /// What it is at now; from any thread.
  void say(std::string what);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  std::mutex mutex_;
  std::string what_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace meshplan::cli
