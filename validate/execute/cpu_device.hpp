// SPDX-License-Identifier: Apache-2.0
// The CPU as the device of a rank: kernels in fp32 (profiler/kernels). Tensors in bf16 are read
// into fp32 before an operation and rounded after it, once per result: what a GPU does whose
// products take bf16 and add up in fp32. So a bf16 plan runs with its own types, bytes and memory;
// only its speed says nothing. Operands of 8-bit products hold real 8-bit floats.
#pragma once
#include <array>
#include <map>
#include <vector>

#include "profiler/kernels/fp8.hpp"
#include "profiler/kernels/workers.hpp"
#include "validate/execute/device.hpp"

namespace meshplan {

class CpuDevice : public Device {
 public:
  /// Threads of the rank's kernels.
  explicit CpuDevice(int workers) : workers_(workers) {}
  ~CpuDevice() override;

  Result<std::byte*> reserve(int64_t bytes) override;
  Status upload(const void* host, int64_t bytes, std::byte* to) override;
  Status download(const std::byte* from, int64_t bytes, void* host) override;
  Status zero(int64_t bytes, std::byte* data) override;
  Status convert(int64_t count, Tensor x, Tensor y) override;
  Status accumulate(int64_t count, Tensor x, Tensor y) override;
  Status scale(int64_t count, float factor, Tensor x) override;
  Status add_squared_norm(int64_t count, Tensor x, int copies) override;
  Status sum_and_norm(const SumAndNorm& operands) override;
  Status sum(std::span<const Tensor> parts, int64_t count, Tensor out) override;
  Status adamw(const cpu::AdamW& adamw, int64_t step, double clip, int64_t count, Tensor gradient,
               Tensor master, Tensor moment1, Tensor moment2, Tensor weight) override;
  Status apply(const Op& op, const OpSite& site) override;
  Result<StepSums> take_sums() override;
  Status occupy(int, double) override { return Done{}; }
  Status wait() override { return Done{}; }
  std::string about() const override { return "CPU"; }
  Result<bool> begin_repeated(const RepeatedWork&) override { return true; }
  Status end_repeated() override { return Done{}; }
  Result<std::byte*> scratch(int slot, int64_t bytes) override;

  cpu::Workers& workers() { return workers_; }
  StepSums& sums() { return sums_; }
  /// Operand `slot` of the operation at hand in fp32: the tensor itself, or a copy of it.
  float* open(size_t slot, int64_t count, Tensor x);
  /// Rounds that copy back into x; 8 bits in this format, with a scale of its own.
  void close(size_t slot, int64_t count, Tensor x, cpu::Fp8 format = cpu::Fp8::e4m3);
  /// Rounds the copy to 8 bits, as a product does with a weight.
  void round_to_fp8(size_t slot, int64_t count);

 private:
  cpu::Workers workers_;
  StepSums sums_;
  std::vector<std::byte*> reserved_;
  std::array<std::vector<std::byte>, kScratchSlots> scratch_;
  std::vector<std::vector<float>> wide_;
  struct Fp8Mark {
    float scale = 1;
    cpu::Fp8 format = cpu::Fp8::e4m3;
  };
  std::map<const std::byte*, Fp8Mark> marks_;  ///< of 8-bit tensors, by where they begin
};

}  // namespace meshplan
