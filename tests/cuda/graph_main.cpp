// SPDX-License-Identifier: Apache-2.0
// Batches of graphs' edges on the first GPU beside those of the CPU, as JSON. Exit code 77 without
// a GPU, 1 if one is further off than its limit.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "profiler/cuda/graph.hpp"
#include "tests/unit/validate/graph_parity.hpp"

namespace meshplan {
namespace {

int run_all() {
  const auto device = cuda::make_graph_device(0);
  if (!device.ok()) {
    fmt::print("skipped: {}\n", device.error().message);
    return 77;
  }
  const auto parity = test::graph_parity(**device);
  bool within = parity.ok();
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (size_t i = 0; parity.ok() && i < parity->size(); ++i) {
    const test::GraphParity& one = (*parity)[i];
    const double limit = one.products == DType::bf16 ? 0.02 : 1e-4;
    const bool good =
        one.same_again && one.rows <= limit && one.operators <= limit && one.loss <= limit;
    within = within && good;
    checks.push_back({{"workload", one.name},
                      {"products", name_of(one.products)},
                      {"rows", one.rows},
                      {"operators", one.operators},
                      {"loss", one.loss},
                      {"same_again", one.same_again},
                      {"within", good}});
  }
  const nlohmann::ordered_json out = {{"schema", "meshplan.gpu-graphs/1"},
                                      {"device", (*device)->name()},
                                      {"ended", parity.ok() ? "done" : render(parity.error())},
                                      {"all_within", within},
                                      {"checks", checks}};
  fmt::print("{}\n", out.dump(1));
  return within ? 0 : 1;
}

}  // namespace
}  // namespace meshplan

int main() { return meshplan::run_all(); }
