// SPDX-License-Identifier: Apache-2.0
// What a run moves between memory, disk and ranks: bytes by hand, the estimate's and those counted.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "costmodel/graph/epoch.hpp"
#include "tests/unit/catch.hpp"
#include "validate/embedding/run.hpp"

namespace meshplan::graph {
namespace {

namespace fs = std::filesystem;

/// 60 nodes of 16 values and a sum: rows of 68 bytes; two relations with a complex number per two
/// values on both sides: 64 values.
struct Chain {
  Chain() {
    std::string name = (fs::temp_directory_path() / "bytes-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder = name;
    std::ofstream out(folder + "/edges.tsv");
    for (int i = 0; i < 600; ++i)
      out << "n" << i % 60 << "\tr" << i % 2 << "\tn" << (i * 7 + 1) % 60 << "\n";
    out.close();
    auto parsed = parse_workload(R"(
entities: {node: {}}
relations: [{name: all, lhs: node, rhs: node, operator: complex_diagonal}]
dynamic_relations: true
dimension: 16
comparator: dot
loss: softmax
batch: 50
epochs: 2
passes_per_epoch: 2
)",
                                 "chain.yaml");
    REQUIRE(parsed.ok());
    w = parsed.value();
    w.data.train = {folder + "/edges.tsv"};
  }
  ~Chain() { fs::remove_all(folder); }
  std::string folder;
  Workload w;
};

/// Runs it and compares every pass with the program, the epochs with the estimate.
Traffic pass_of(const Chain& chain, const GraphPlan& plan) {
  RunOptions options;
  options.plan = plan;
  options.threads = {1, true};
  options.evaluate_on = "none";
  const auto answer = run(chain.w, options, {});
  REQUIRE(answer.ok());
  CAPTURE(brief(plan));
  Traffic all;
  for (const PassLine& line : answer->passes) {
    CHECK(line.report.traffic == answer->expected);
    all.add(line.report.traffic);
  }
  GraphMachine machine;
  machine.is_cpu = true;
  machine.pricer = [](const Workload&, const GraphPlan&) -> Result<GraphMachine::Pricer> {
    return GraphMachine::Pricer([](const Op&) { return OpTime{}; });
  };
  const auto estimate = estimate_epoch(answer->workload, plan, machine);
  REQUIRE(estimate.ok());
  Traffic epochs;
  epochs.add(estimate->traffic);
  epochs.add(estimate->traffic);
  CHECK(all == epochs);
  return answer->expected;
}

TEST_CASE("swap and network bytes are those of the plan, and of a reckoning by hand") {
  const Chain chain;
  constexpr int64_t kPart4 = 15 * 68, kPart8 = 60 * 68 / 8;
  // BETA: (4 - 2) + 3 (2 - 1) swaps after two loads; what was loaded is stored.
  const Traffic beta =
      pass_of(chain, {.order = Order::beta, .partitions = 4, .resident = 2, .home = Home::storage});
  CHECK(beta.loads == 7);
  CHECK(beta.loaded_bytes == 7 * kPart4);
  CHECK(beta.stored_bytes == 7 * kPart4);
  CHECK(beta.sent_bytes == 0);
  CHECK(beta.synchronised_bytes == 0);
  // x = 1: (8 - 4) + 2 (4 - 3 / 2) swaps after four loads; partitions of 7 and 8 rows, 60 in all.
  const Traffic wide =
      pass_of(chain, {.order = Order::beta, .partitions = 8, .resident = 4, .home = Home::storage});
  CHECK(wide.loads == 13);
  CHECK(std::abs(wide.loaded_bytes - 13 * kPart8) < 13 * 68);
  // Two ranks: four loads; two exchanges, in which both send one; three rounds after which both
  // exchange 64 values and as many sums.
  const Traffic halving = pass_of(
      chain,
      {.order = Order::halving, .partitions = 4, .resident = 2, .ranks = 2, .home = Home::storage});
  CHECK(halving.loads == 4);
  CHECK(halving.loaded_bytes == 4 * kPart4);
  CHECK(halving.sends == 4);
  CHECK(halving.sent_bytes == 4 * kPart4);
  CHECK(halving.stored_bytes == 4 * kPart4);
  CHECK(halving.synchronised_bytes == 3 * 2 * 64 * 2 * 4);
  const Traffic nothing = pass_of(chain, {.partitions = 1, .resident = 1});
  CHECK(nothing == Traffic{});
}

}  // namespace
}  // namespace meshplan::graph
