// SPDX-License-Identifier: Apache-2.0
// Batches on a device, here the CPU with the code of the GPU's kernels, beside those of threads.
#include "costmodel/graph/epoch.hpp"
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/graph_parity.hpp"
#include "tests/unit/validate/host_graph_device.hpp"
#include "validate/embedding/bucket_train.hpp"
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
    const double limit = one.products == DType::bf16 ? 2e-3 : 2e-5;
    CHECK(one.rows < limit);
    CHECK(one.operators < limit);
    CHECK(one.loss < limit);
    CHECK(one.same_again);
  }
}

TEST_CASE("a device holds what the plan says: rows, edges, operators, scratch") {
  for (const bool dynamic : {false, true})
    for (const DType products : {DType::fp32, DType::bf16}) {
      Workload w;
      w.dimension = 16;
      w.comparator = Comparator::dot;
      w.loss = Loss::softmax;
      w.batch = 100;
      w.negatives = {.batch = 30, .uniform = 25, .lhs = dynamic};
      w.entities = {{.name = "node", .count = 40}};
      w.relations = {{.name = "all", .op = Operator::complex_diagonal}};
      w.dynamic_relations = dynamic;
      w.dynamic_count = dynamic ? 2 : 0;
      w.edges = 250;
      Edges edges;
      for (int32_t i = 0; i < 250; ++i) {
        edges.lhs.push_back(i % 40);
        edges.rhs.push_back(i * 3 % 40);
        edges.relation.push_back(dynamic ? i % 2 : 0);
      }
      Table table(40, 16);
      initialise(table, 0, 0, 0.1, 0, 1, 1);
      std::vector<LoadedRows> rows(1);
      rows[0].add(table, 0, 40);
      SharedParameters parameters = initial_parameters(w, 1);
      const auto device = test::host_graph_device();
      BucketTrainer trainer(w, parameters, {1, true}, products, device.get());
      for (const uint64_t key : {1, 2})
        REQUIRE(trainer.train(edges, std::vector<EdgeRange>{{0, 250}}, {0, 1, key}, rows).ok());
      const GraphPlan plan{.compute = products};
      const BesideRows beside = beside_rows(w, plan, {});
      // The list of one partition, of one piece of edges, and the sum of the losses; the sort is
      // the GPU's own.
      const int64_t lists = sizeof(DevicePart) + sizeof(EdgePiece) + sizeof(double);
      CHECK(device->peak_bytes() == bytes_of_partition(w, 0, 1) + beside.total() + lists -
                                        device_scratch(w, products).sort);
    }
}

TEST_CASE("what devices do not train is named") {
  Workload w;
  w.dimension = 16;
  w.comparator = Comparator::dot;
  w.entities = {{.name = "node"}};
  w.relations = {{.name = "all", .op = Operator::complex_diagonal}};
  CHECK(not_on_devices(w, DType::bf16).empty());
  w.relations.push_back({.name = "more", .op = Operator::linear});
  w.comparator = Comparator::l2;
  w.dimension = 10;
  w.bias = w.global_embedding = w.negatives.other_end = true;
  w.entities[0].features = 4;
  CHECK(not_on_devices(w, DType::fp32) ==
        std::vector<std::string>{"operator linear", "comparator l2",
                                 "dimension 10 (a multiple of 4, in fp32)", "bias",
                                 "global_embedding", "other_end_negative", "features of 'node'"});
  Workload short_rows;
  short_rows.dimension = 100;
  short_rows.comparator = Comparator::dot;
  CHECK(not_on_devices(short_rows, DType::fp32).empty());
  CHECK(not_on_devices(short_rows, DType::bf16).size() == 1);
}

}  // namespace
}  // namespace meshplan::graph
