// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/gpu.hpp"

#include "profiler/cuda/library.hpp"
#include "profiler/cuda/memory.hpp"

namespace meshplan::cuda {

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

std::map<std::string, std::string> library_versions() {
  std::map<std::string, std::string> found;
  const auto ask = [&](const char* name, const std::vector<std::string>& files,
                       const char* function) {
    const Result<Library> library = Library::open(files);
    size_t (*version)() = nullptr;
    if (library.ok() && library->get(function, &version).ok()) {
      found[name] = std::to_string(version());
    }
  };
  ask("cublaslt", {"libcublasLt.so.13", "libcublasLt.so.12"}, "cublasLtGetVersion");
  ask("cudnn", {"libcudnn.so.9"}, "cudnnGetVersion");
  const Result<Library> nccl = Library::open({"libnccl.so.2"});
  int (*version)(int*) = nullptr;
  int number = 0;
  if (nccl.ok() && nccl->get("ncclGetVersion", &version).ok() && version(&number) == 0) {
    found["nccl"] = std::to_string(number);
  }
  return found;
}

}  // namespace meshplan::cuda
