// SPDX-License-Identifier: Apache-2.0
// A world over device memory for callers with buffers on the host: every operation copies them to
// the GPU, runs there, and copies its result back. So the interface suite runs on GPUs as it is.
#pragma once
#include "profiler/comm/gpu_world.hpp"

namespace meshplan::test {

class StagedWorld : public World {
 public:
  /// gpus: outlives it.
  explicit StagedWorld(GpuWorld& gpus) : gpus_(gpus) {}
  int rank() const override { return gpus_.rank(); }
  int size() const override { return gpus_.size(); }
  void stop(const std::string& reason) override { gpus_.stop(reason); }
  Result<std::unique_ptr<Communicator>> group(const std::vector<int>& members,
                                              const std::string& label) override;

 private:
  GpuWorld& gpus_;
};

}  // namespace meshplan::test
