// SPDX-License-Identifier: Apache-2.0
// Random data in a type of the GPU, its exact copy in float64, and the comparison of results.
#pragma once
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "profiler/cuda/memory.hpp"

namespace meshplan::test {

/// The same numbers on the GPU (bf16 or fp32) and here.
struct Data {
  std::vector<double> host;
  cuda::DeviceMemory device;
  DType type = DType::fp32;
  void* get() const { return device.get(); }
  float* fp32() const { return device.as<float>(); }
};

class KernelCheck {
 public:
  /// Error (missing): no GPU.
  static Result<KernelCheck> make();

  cudaStream_t stream() const { return stream_.get(); }
  /// Uniform in [-1, 1] + mean, rounded to the type.
  Result<Data> random(int64_t count, DType type, double mean = 0);
  Result<Data> zeros(int64_t count, DType type);
  /// As random(), but a million numbers over and over, on the GPU alone: for timings.
  Result<cuda::DeviceMemory> noise(int64_t count, DType type);
  Result<Data> of(const std::vector<double>& values, DType type);
  Result<cuda::DeviceMemory> integers(const std::vector<int32_t>& values);
  int32_t below(int32_t end) {
    return static_cast<int32_t>(random_() % static_cast<uint32_t>(end));
  }

  /// Relative L2 error of what is on the GPU now; limits of the issue: 1e-2 for bf16, 1e-5 for
  /// fp32.
  Status compare(const std::string& kernel, const Data& got, const std::vector<double>& expected);
  Status compare(const std::string& kernel, DType type, double got, double expected);

  const nlohmann::ordered_json& results() const { return results_; }
  bool all_within() const { return all_within_; }

 private:
  void note(const std::string& kernel, DType type, double error, double limit);
  cuda::Stream stream_;
  std::mt19937 random_{1};
  nlohmann::ordered_json results_ = nlohmann::ordered_json::array();
  bool all_within_ = true;
};

/// Shapes: small ones for memory checkers, or those of a layer.
struct Scale {
  bool tiny = false;
};
Status check_streams(KernelCheck& check, Scale scale);
Status check_products(KernelCheck& check, Scale scale);
Status check_attention(KernelCheck& check, Scale scale);
Status check_loss(KernelCheck& check, Scale scale);

}  // namespace meshplan::test
