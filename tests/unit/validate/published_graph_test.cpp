// SPDX-License-Identifier: Apache-2.0
// Rows of published graph runs: what is asked, what is refused, and a prediction by hand.
#include "tests/unit/catch.hpp"
#include "validate/published/graph/report.hpp"

namespace meshplan::graph {
namespace {

constexpr const char* kHeader =
    "id,source,source_detail,system,dataset,nodes,edges,relations,dim,partitions,machines,"
    "workers_or_threads,gpu,batch,negatives,epochs,train_time_h,epoch_time_s,edges_per_s,"
    "peak_mem_gb,mrr,hits10,hits1,notes\n";

GraphRow row(const std::string& line) {
  const auto table = CsvTable::parse(kHeader + line + "\n", "t.csv");
  REQUIRE(table.ok());
  REQUIRE(is_graph_table(table.value()));
  const auto systems = load_systems();
  if (!systems.ok()) FAIL(render(systems.error()));
  return read_graph_row(table.value(), table->records().front(), systems.value());
}

TEST_CASE("counts with K, M and B are read, other words are not") {
  CHECK(count_from("14951") == 14951.0);
  CHECK(count_from("14.8K") == 14800.0);
  CHECK(count_from("1.46B") == 1.46e9);
  CHECK(!count_from("about 5"));
  CHECK(!count_from("5 M"));
  CHECK(!count_from(""));
}

TEST_CASE("a row asks what it states") {
  const GraphRow one = row(
      "e1,Marius (OSDI 2021),t,Marius ComplEx (buffer 16 partitions),Freebase86m,86.1M,338M,14.8K,"
      "100,32,1,,\"1x V100 (p3.2xlarge, 8 vCPU)\",,,10,2.15,774,,68.8,,,,memory = size of the "
      "parameters");
  REQUIRE(one.question);
  CHECK(one.question->partitions == 32);
  CHECK(one.question->resident == 16);
  CHECK(one.question->workload.batch == 50'000);  // a fact of the source
  CHECK(one.question->storage_bytes_per_s == 4e8);
  CHECK(one.question->workload.relations[0].op == Operator::complex_diagonal);
  CHECK(*one.measured_edges_per_s == Approx(304727650.0 / 774));  // of training
  const auto predicted = predict(*one.question);
  REQUIRE(predicted.ok());
  CHECK(predicted->parameter_bytes == Approx(86.1e6 * 800));
  CHECK(predicted->rows_on_host);
  // BETA with x = 1: (32 - 16) + 2 (16 - 15 / 2) swaps after 16 loads, each stored again.
  CHECK(predicted->storage_s == Approx(2 * 49 * 86.1e6 * 800 / 32 / 4e8));
}

TEST_CASE("a row that states too little, or what no model is of, is refused with the reason") {
  const auto why = [](const std::string& line) {
    const GraphRow one = row(line);
    CHECK(!one.question);
    return one.refusal;
  };
  const std::string v100 = "1x V100 (p3.16xlarge)";
  CHECK(why("a,s,d,DGL-KE ComplEx,g,10,20,1,8,,1,1,,9,9,1,,,5,,,,,") ==
        "the machine is not stated");
  CHECK(why("a,s,d,DGL-KE RotatE,g,10,20,1,8,,1,1," + v100 + ",9,9,1,,,5,,,,,") ==
        "the model is none of a graph workload's");
  CHECK(why("a,s,d,DGL-KE ComplEx,g,10,20,1,8,,1,1," + v100 + ",9,9,1,,,,,,,,") ==
        "no time was measured");
  CHECK(why("a,s,d,DGL-KE ComplEx,g,10,20,1,x,,1,1," + v100 + ",9,9,1,,,5,,,,,") ==
        "dim is no number: 'x'");
  CHECK(why("a,s,d,DGL-KE ComplEx,g,10,20,1,8,,1,1," + v100 + ",,9,1,,,5,,,,,") ==
        "batch is not stated");
  CHECK(!why("a,s").empty());
}

}  // namespace
}  // namespace meshplan::graph
