// SPDX-License-Identifier: Apache-2.0
// A build without CUDA.
#include "profiler/comm/gpu_world.hpp"
#include "profiler/cuda/gpu.hpp"
#include "profiler/cuda/graph.hpp"
#include "profiler/measure/cuda.hpp"

namespace meshplan {

Result<std::unique_ptr<GpuWorld>> GpuWorld::make(World&, const GpuWorldOptions&) {
  return Diagnostic{.kind = ErrorKind::missing, .message = "this build has no CUDA"};
}

Result<CpuProfile> profile_cuda(const CudaProfileOptions&, World*) {
  return Diagnostic{.kind = ErrorKind::missing, .message = "this build has no CUDA"};
}

}  // namespace meshplan

namespace meshplan::cuda {

Result<std::vector<GpuFacts>> gpus() {
  return Diagnostic{.kind = ErrorKind::missing, .message = "this build has no CUDA"};
}

std::map<std::string, std::string> library_versions() { return {}; }

Result<std::unique_ptr<graph::GraphDevice>> make_graph_device(int) {
  return Diagnostic{.kind = ErrorKind::missing, .message = "this build has no CUDA"};
}

}  // namespace meshplan::cuda
