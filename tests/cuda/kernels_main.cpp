// SPDX-License-Identifier: Apache-2.0
// Every kernel of profiler/cuda against a float64 reference on random data, as JSON.
//   gpu_kernels          shapes of some hundred rows
//   gpu_kernels tiny     for compute-sanitizer
// Exit code 77 without a GPU, 1 if an error is beyond its limit.
#include <fmt/format.h>

#include "profiler/cuda/gpu.hpp"
#include "tests/cuda/kernel_check.hpp"

namespace meshplan {
namespace {

Status run(test::KernelCheck& check, test::Scale scale) {
  MESHPLAN_CHECK(test::check_streams(check, scale));
  MESHPLAN_CHECK(test::check_loss(check, scale));
  MESHPLAN_CHECK(test::check_products(check, scale));
  return test::check_attention(check, scale);
}

int run_all(bool tiny) {
  const Result<std::vector<cuda::GpuFacts>> gpus = cuda::gpus();
  Result<test::KernelCheck> check = test::KernelCheck::make();
  if (!gpus.ok() || !check.ok()) {
    fmt::print("skipped: {}\n", (gpus.ok() ? check.error() : gpus.error()).message);
    return 77;
  }
  const Status status = run(*check, {tiny});
  nlohmann::ordered_json out = {{"schema", "meshplan.gpu-kernels/1"},
                                {"device", gpus->front().name},
                                {"ended", status.ok() ? "done" : render(status.error())},
                                {"all_within", status.ok() && check->all_within()},
                                {"checks", check->results()}};
  fmt::print("{}\n", out.dump(1));
  return status.ok() && check->all_within() ? 0 : 1;
}

}  // namespace
}  // namespace meshplan

int main(int argc, char** argv) { return meshplan::run_all(argc > 1 && argv[1][0] == 't'); }
