// SPDX-License-Identifier: Apache-2.0
// What does the board draw and at which clock does it run? NVML, which comes with the driver.
#pragma once
#include "profiler/cuda/library.hpp"

namespace meshplan::cuda {

struct BoardState {
  double power_w = 0, sm_clock_mhz = 0, memory_clock_mhz = 0, temperature_c = 0;
};

class Nvml {
 public:
  /// Error (missing): no driver.
  static Result<Nvml> open(int device);
  Result<BoardState> read() const;
  const std::string& driver() const { return driver_; }

 private:
  using Device = void*;
  int (*power_)(Device, unsigned*) = nullptr;
  int (*clock_)(Device, int, unsigned*) = nullptr;
  int (*temperature_)(Device, int, unsigned*) = nullptr;
  Device device_ = nullptr;
  std::string driver_;
};

}  // namespace meshplan::cuda
