// SPDX-License-Identifier: Apache-2.0
// Batches on a device, here the CPU with the code of the GPU's kernels, beside those of threads.
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/graph_parity.hpp"
#include "tests/unit/validate/host_graph_device.hpp"
#include "validate/embedding/device_batch.hpp"

namespace meshplan::graph {
namespace {

TEST_CASE("a device trains a batch as the CPU does, with every operator and loss") {
  const auto device = test::host_graph_device();
  const auto parity = test::graph_parity(*device);
  REQUIRE(parity.ok());
  CHECK(parity->size() == 48);
  for (const test::GraphParity& one : *parity) {
    CAPTURE(one.name, name_of(one.products));
    const double limit = one.products == DType::bf16 ? 0.02 : 5e-5;
    CHECK(one.rows < limit);
    CHECK(one.operators < limit);
    CHECK(one.loss < limit);
    CHECK(one.same_again);
  }
}

TEST_CASE("what devices do not train is named") {
  Workload w;
  w.dimension = 16;
  w.comparator = Comparator::dot;
  w.entities = {{.name = "node"}};
  w.relations = {{.name = "all", .op = Operator::complex_diagonal}};
  CHECK(not_on_devices(w).empty());
  w.relations.push_back({.name = "more", .op = Operator::linear});
  w.comparator = Comparator::l2;
  w.dimension = 12;
  w.bias = w.global_embedding = w.negatives.other_end = true;
  w.entities[0].features = 4;
  CHECK(not_on_devices(w) == std::vector<std::string>{"operator linear", "comparator l2",
                                                      "dimension 12 (a multiple of 8)", "bias",
                                                      "global_embedding", "other_end_negative",
                                                      "features of 'node'"});
}

}  // namespace
}  // namespace meshplan::graph
