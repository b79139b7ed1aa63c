// SPDX-License-Identifier: Apache-2.0
// The interface suite of the communicators on GPUs:
//   gpu_suite shared    four ranks that share one GPU
//   gpu_suite nccl      four ranks with a GPU each, or one rank where there are fewer
// Exit code 77 without a GPU: the test counts as skipped.
#include <fmt/format.h>

#include <array>
#include <string>

#include "profiler/comm/thread_world.hpp"
#include "profiler/cuda/gpu.hpp"
#include "tests/cuda/staged_world.hpp"
#include "tests/unit/profiler/communicator_suite.hpp"

namespace meshplan {
namespace {

Status suite_on(World& base, GpuTransport transport, int device) {
  MESHPLAN_TRY(const std::unique_ptr<GpuWorld> gpus, GpuWorld::make(base, {transport, device}));
  test::StagedWorld world(*gpus);
  return test::communicator_suite(world);
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
  const Status status = run_ranks(!shared && !enough ? 1 : 4, {}, [&](World& world) {
    if (shared) return suite_on(world, GpuTransport::shared, 0);
    return enough ? suite_on(world, GpuTransport::nccl, world.rank()) : alone(world);
  });
  fmt::print("{}\n", status.ok() ? "as expected" : render(status.error()));
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace meshplan

int main(int argc, char** argv) { return meshplan::run(argc > 1 ? argv[1] : "shared"); }
