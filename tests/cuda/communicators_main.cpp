// SPDX-License-Identifier: Apache-2.0
// The interface suite of the communicators on GPUs:
//   gpu_suite shared    four ranks that share one GPU
//   gpu_suite nccl      four ranks with a GPU each, or one rank where there are fewer
// Exit code 77 without a GPU: the test counts as skipped.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "profiler/comm/thread_world.hpp"
#include "profiler/cuda/gpu.hpp"
#include "profiler/cuda/memory.hpp"
#include "tests/cuda/staged_world.hpp"
#include "tests/unit/profiler/communicator_suite.hpp"

namespace meshplan {
namespace {

Status suite_on(World& base, GpuTransport transport, int device) {
  MESHPLAN_TRY(const std::unique_ptr<GpuWorld> gpus, GpuWorld::make(base, {transport, device}));
  test::StagedWorld world(*gpus);
  return test::communicator_suite(world);
}

/// As the suite's chain, in device memory: the second operation is ordered on the GPU alone.
Status chained(World& base, GpuTransport transport, int device) {
  MESHPLAN_TRY(const std::unique_ptr<GpuWorld> world, GpuWorld::make(base, {transport, device}));
  MESHPLAN_TRY(const std::unique_ptr<Communicator> sums, world->group({0, 1, 2, 3}, "sums"));
  MESHPLAN_TRY(const std::unique_ptr<Communicator> copies, world->group({0, 1, 2, 3}, "copies"));
  constexpr int64_t kCount = 1 << 20, kBytes = 4 * kCount;
  MESHPLAN_TRY(const cuda::DeviceMemory x, cuda::DeviceMemory::make(kBytes));
  MESHPLAN_TRY(const cuda::DeviceMemory all, cuda::DeviceMemory::make(4 * kBytes));
  std::vector<float> host(kCount, static_cast<float>(base.rank() + 1));
  MESHPLAN_CUDA(cudaMemcpy(x.get(), host.data(), kBytes, cudaMemcpyHostToDevice));
  Pending sum = sums->start_all_reduce(x.get(), kCount, Element::fp32, ReduceOp::sum);
  MESHPLAN_CHECK(sum.settle());
  Pending gather = copies->start_all_gather(x.get(), all.get(), kBytes);
  MESHPLAN_CHECK(gather.wait());
  MESHPLAN_CHECK(sum.wait());
  host.assign(4 * kCount, 0);
  MESHPLAN_CUDA(cudaMemcpyAsync(host.data(), all.get(), 4 * kBytes, cudaMemcpyDeviceToHost,
                                world->compute_stream()));
  MESHPLAN_CUDA(cudaStreamSynchronize(world->compute_stream()));
  const bool right = std::all_of(host.begin(), host.end(), [](float v) { return v == 10; });
  return right ? Status(Done{}) : Status(Diagnostic{.message = "a settled sum was not awaited"});
}

/// NCCL with itself: every collective of one rank is a copy.
Status alone(World& base) {
  MESHPLAN_TRY(const std::unique_ptr<GpuWorld> gpus, GpuWorld::make(base, {GpuTransport::nccl, 0}));
  test::StagedWorld world(*gpus);
  MESHPLAN_TRY(const std::unique_ptr<Communicator> comm, world.group({0}, "alone"));
  const std::array<float, 3> x = {1, 2, 3};
  std::array<float, 3> sum = x, gathered{}, scattered{};
  MESHPLAN_CHECK(comm->all_reduce(sum.data(), 3));
  MESHPLAN_CHECK(comm->all_gather(x.data(), gathered.data(), sizeof(x)));
  MESHPLAN_CHECK(comm->reduce_scatter(x.data(), scattered.data(), 3));
  if (sum == x && gathered == x && scattered == x) return Done{};
  return Diagnostic{.message = "a collective of one rank changed its operand"};
}

int run(const std::string& which) {
  const Result<std::vector<cuda::GpuFacts>> gpus = cuda::gpus();
  if (!gpus.ok()) {
    fmt::print("skipped: {}\n", gpus.error().message);
    return 77;
  }
  const bool shared = which == "shared";
  const bool enough = gpus->size() >= 4;
  if (!shared && !enough) fmt::print("{} GPUs: NCCL with one rank only\n", gpus->size());
  const Status status = run_ranks(!shared && !enough ? 1 : 4, {}, [&](World& world) -> Status {
    if (!shared && !enough) return alone(world);
    const auto transport = shared ? GpuTransport::shared : GpuTransport::nccl;
    const int device = shared ? 0 : world.rank();
    MESHPLAN_CHECK(chained(world, transport, device));
    return suite_on(world, transport, device);
  });
  fmt::print("{}\n", status.ok() ? "as expected" : render(status.error()));
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace meshplan

int main(int argc, char** argv) { return meshplan::run(argc > 1 ? argv[1] : "shared"); }
