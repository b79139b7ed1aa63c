// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/gpu.hpp"

#include "profiler/cuda/memory.hpp"

namespace meshplan::cuda {

bool built() { return true; }

Result<std::vector<GpuFacts>> gpus() {
  MESHPLAN_TRY(const int count, gpu_count());
  std::vector<GpuFacts> all;
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties{};
    MESHPLAN_CUDA(cudaGetDeviceProperties(&properties, device));
    GpuFacts& facts = all.emplace_back();
    facts.name = properties.name;
    facts.compute_capability = 10 * properties.major + properties.minor;
    facts.sms = properties.multiProcessorCount;
    facts.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    facts.l2_bytes = properties.l2CacheSize;
    MESHPLAN_CUDA(cudaDriverGetVersion(&facts.driver));
    MESHPLAN_CUDA(cudaRuntimeGetVersion(&facts.runtime));
  }
  return all;
}

}  // namespace meshplan::cuda
