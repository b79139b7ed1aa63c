// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda/kernel_check.hpp"

#include <cmath>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::test {

Result<KernelCheck> KernelCheck::make() {
  MESHPLAN_TRY(const int count, cuda::gpu_count());
  static_cast<void>(count);
  MESHPLAN_CUDA(cudaSetDevice(0));
  KernelCheck check;
  MESHPLAN_TRY(check.stream_, cuda::make_stream());
  return check;
}

Result<Data> KernelCheck::of(const std::vector<double>& values, DType type) {
  Data data{.type = type};
  const auto count = static_cast<int64_t>(values.size());
  MESHPLAN_TRY(data.device, cuda::DeviceMemory::make(count * bytes_of(type)));
  std::vector<float> wide;
  std::vector<uint16_t> narrow;
  for (const double value : values) {
    const auto x = static_cast<float>(value);
    wide.push_back(x);
    narrow.push_back(cpu::bf16_of(x));
    data.host.push_back(type == DType::bf16 ? cpu::float_of(narrow.back()) : x);
  }
  const void* from = type == DType::bf16 ? static_cast<const void*>(narrow.data()) : wide.data();
  MESHPLAN_CUDA(cudaMemcpy(data.get(), from, static_cast<size_t>(data.device.bytes()),
                           cudaMemcpyHostToDevice));
  return data;
}

Result<Data> KernelCheck::random(int64_t count, DType type, double mean) {
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> values(static_cast<size_t>(count));
  for (double& x : values) x = mean + uniform(random_);
  return of(values, type);
}

Result<cuda::DeviceMemory> KernelCheck::noise(int64_t count, DType type) {
  constexpr int64_t kNumbers = 1 << 20;
  MESHPLAN_TRY(const Data some, random(std::min(count, kNumbers), type));
  const int64_t bytes = count * bytes_of(type);
  MESHPLAN_TRY(cuda::DeviceMemory memory, cuda::DeviceMemory::make(bytes));
  for (int64_t done = 0; done < bytes; done += some.device.bytes()) {
    MESHPLAN_CUDA(cudaMemcpy(memory.as<char>() + done, some.get(),
                             static_cast<size_t>(std::min(bytes - done, some.device.bytes())),
                             cudaMemcpyDeviceToDevice));
  }
  return memory;
}

Result<Data> KernelCheck::zeros(int64_t count, DType type) {
  return of(std::vector<double>(static_cast<size_t>(count), 0.0), type);
}

Result<cuda::DeviceMemory> KernelCheck::integers(const std::vector<int32_t>& values) {
  MESHPLAN_TRY(cuda::DeviceMemory memory,
               cuda::DeviceMemory::make(static_cast<int64_t>(4 * values.size())));
  MESHPLAN_CUDA(cudaMemcpy(memory.get(), values.data(), 4 * values.size(), cudaMemcpyHostToDevice));
  return memory;
}

void KernelCheck::note(const std::string& kernel, DType type, double error, double limit) {
  const bool within = error <= limit;  // false for NaN, too
  all_within_ = all_within_ && within;
  results_.push_back({{"kernel", kernel},
                      {"type", name_of(type)},
                      {"relative_error", std::isfinite(error) ? error : -1},
                      {"limit", limit},
                      {"within", within}});
}

Status KernelCheck::compare(const std::string& kernel, const Data& got,
                            const std::vector<double>& expected) {
  MESHPLAN_CUDA(cudaStreamSynchronize(stream()));
  std::vector<float> wide(got.host.size());
  std::vector<uint16_t> narrow(got.host.size());
  const bool bf16 = got.type == DType::bf16;
  void* to = bf16 ? static_cast<void*>(narrow.data()) : wide.data();
  MESHPLAN_CUDA(
      cudaMemcpy(to, got.get(), static_cast<size_t>(got.device.bytes()), cudaMemcpyDeviceToHost));
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double x = bf16 ? cpu::float_of(narrow[i]) : wide[i];
    difference += (x - expected[i]) * (x - expected[i]);
    norm += expected[i] * expected[i];
  }
  note(kernel, got.type, std::sqrt(difference / std::max(norm, 1e-30)), bf16 ? 1e-2 : 1e-5);
  return Done{};
}

Status KernelCheck::compare(const std::string& kernel, DType type, double got, double expected) {
  note(kernel, type, std::abs(got - expected) / std::max(std::abs(expected), 1e-30),
       type == DType::bf16 ? 1e-2 : 1e-5);
  return Done{};
}

}  // namespace meshplan::test
