// SPDX-License-Identifier: Apache-2.0
#include "topologies/fabric/fabric.hpp"

#include <numeric>

#include "tests/unit/catch.hpp"
#include "topologies/placement/placement.hpp"

using namespace meshplan;

namespace {
std::vector<int64_t> range(int64_t begin, int64_t end, int64_t step = 1) {
  std::vector<int64_t> out;
  for (int64_t i = begin; i < end; i += step) out.push_back(i);
  return out;
}
Cluster nodes16(std::vector<FabricTier> tiers, bool rails) {
  Cluster out = *find_cluster("16x8xH100");
  out.tiers = std::move(tiers);
  out.rail_optimized = rails;
  return out;
}
}  // namespace

TEST_CASE("flows inside a node are NVLink's") {
  const Cluster node = *find_cluster("8xH100");
  CHECK(max_flow_bytes_per_s(node, {0}, {1}) == Approx(450e9));
  CHECK(max_flow_bytes_per_s(node, {0, 1}, {2, 3}) == Approx(900e9));
  CHECK(bisection_bytes_per_s(node) == Approx(4 * 450e9));
  CHECK(max_flow_bytes_per_s(*find_cluster("l40s-box"), {0}, {5}) == Approx(31.5e9));
}

TEST_CASE("rail, full bisection and oversubscription between the halves of 16 nodes") {
  const auto left = range(0, 64), right = range(64, 128);
  const Cluster rail = nodes16({{"rail", 32, 1, 2e-6}, {"spine", 0, 4, 4e-6}}, true);
  const Cluster full = nodes16({{"leaf", 2, 1, 2e-6}, {"spine", 0, 1, 4e-6}}, false);
  const Cluster over = nodes16({{"leaf", 2, 1, 2e-6}, {"spine", 0, 4, 4e-6}}, false);
  CHECK(max_flow_bytes_per_s(rail, left, right) == Approx(64 * 50e9));
  CHECK(max_flow_bytes_per_s(full, left, right) == Approx(64 * 50e9));
  CHECK(max_flow_bytes_per_s(over, left, right) == Approx(64 * 50e9 / 4));
  // One GPU a node: NVLink hands its bytes to all eight NICs of the node.
  CHECK(max_flow_bytes_per_s(rail, {0}, {65}) == Approx(400e9));
  // Without NVLink and without a spine, GPU 0 reaches GPU 1 of another node by its PCIe link only.
  Cluster box = *find_cluster("16x8xL40S");
  box.rail_optimized = true;
  box.nics_per_node = 8;
  box.tiers = {{"rail", 0, 1, 2e-6}};
  CHECK(max_flow_bytes_per_s(box, {0}, {9}) == Approx(31.5e9));
}

TEST_CASE("symmetry: 131,072 GPUs are a handful of vertices that stand for every piece") {
  const Cluster huge = *find_cluster("16384x8xH100");
  const Fabric fabric = fabric_of(huge, {range(0, 131072)});
  CHECK(fabric.count(FabricKind::gpu) == 131072);
  CHECK(fabric.count(FabricKind::nic) == 131072);
  CHECK(fabric.count(FabricKind::nvswitch) == 16384);  // one a node here: the domain's switches
  CHECK(fabric.count(FabricKind::leaf) == 512 * 8);    // 512 scalable units, 8 rails
  CHECK(fabric.count(FabricKind::spine) == 128);
  CHECK(fabric.count(FabricKind::core) == 1);
  CHECK(fabric.vertices.size() == 6);
  CHECK(bisection_bytes_per_s(huge) == Approx(65536 * 50e9));
}

TEST_CASE("a strided set splits only what it makes different") {
  const Cluster cluster = *find_cluster("64x8xH100");
  const Fabric fabric = fabric_of(cluster, {range(0, 512, 8)});
  CHECK(fabric.count(FabricKind::gpu) == 512);
  // Rail 0 (members) and the seven others: 2 GPU, 2 NIC and 2 leaf vertices, NVSwitch, spine, and
  // the core tier above.
  CHECK(fabric.vertices.size() == 9);
}

TEST_CASE("Llama 3: pods of 3,072 are joined at a seventh") {
  const Cluster llama = *with_gpus(*find_cluster("llama3-roce"), 6144);
  CHECK(max_flow_bytes_per_s(llama, range(0, 3072), range(3072, 6144)) == Approx(3072 * 50e9 / 7));
  CHECK(max_flow_bytes_per_s(llama, range(0, 1536), range(1536, 3072)) == Approx(1536 * 50e9));
}

TEST_CASE("the closed form of placement equals the flow out of a unit, shared by its groups") {
  const Cluster over = nodes16({{"leaf", 2, 1, 2e-6}, {"spine", 0, 4, 4e-6}}, false);
  const double flow = max_flow_bytes_per_s(over, range(0, 16), range(16, 128));
  const GroupLinks ring = links_of(over, {{16, 8}}, 128);
  CHECK(ring.inter_bytes_per_s == Approx(flow / 8));  // eight rings leave the leaf
  const GroupLinks all = links_of(over, {{128, 1}}, 128);
  CHECK(all.alltoall_inter_bytes_per_s * 112 / 120 == Approx(flow / 16));
}

TEST_CASE("degraded parts: rings that pass them get what the flow leaves") {
  const std::string text =
      "base: dgx-h100\nnodes: 64\ndegraded:\n"
      "  - {tier: node, unit: 5, share: 0.5}\n  - {tier: rail-leaf, unit: 1, share: 0.25}\n";
  const Cluster sick = *parse_cluster(text, "sick.yaml");
  REQUIRE(sick.degraded.size() == 2);
  CHECK(sick.degraded[0].leaves_bytes_per_s_per_gpu == Approx(25e9));
  CHECK(sick.degraded[1].leaves_bytes_per_s_per_gpu == Approx(12.5e9));
  // One member a node: half at node 5. The leaf holds 32 nodes of the ring, so its quarter is
  // ample.
  CHECK(links_of(sick, {{64, 8}}, 512).inter_bytes_per_s == Approx(25e9));
  // Two members, one under each leaf: every ring leaves the sick leaf.
  CHECK(links_of(sick, {{2, 256}}, 512).inter_bytes_per_s == Approx(12.5e9));
  // Node 5 is not among the first 4 nodes.
  CHECK(with_gpus(sick, 32)->degraded.empty());
  CHECK(!parse_cluster("gpu: H100\nnodes: 4\ndegraded:\n  - {tier: nod, unit: 0, share: 1}\n", "x")
             .ok());
}
