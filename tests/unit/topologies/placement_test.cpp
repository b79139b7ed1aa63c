// SPDX-License-Identifier: Apache-2.0
#include "topologies/placement/placement.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {
Degrees degrees(int64_t tp, int64_t cp, int64_t dp, int64_t pp) {
  Degrees out;
  out[Axis::tp] = tp;
  out[Axis::cp] = cp;
  out[Axis::dp_shard] = dp;
  out[Axis::pp] = pp;
  return out;
}
/// dgx-h100 nodes under another fabric.
Cluster with_tiers(std::vector<FabricTier> tiers, bool rails) {
  Cluster out = *find_cluster("64x8xH100");
  out.tiers = std::move(tiers);
  out.rail_optimized = rails;
  return out;
}
}  // namespace

TEST_CASE("rank orders") {
  CHECK(to_text(*RankOrder::parse("tp-cp-ep-dp-pp")) == "tp-cp-ep-dp_shard-dp_replicate-pp");
  CHECK(to_text(*RankOrder::parse("tp-cp-pp-dp")) == "tp-cp-pp-ep-dp_shard-dp_replicate");
  CHECK(to_text(*RankOrder::parse("dp")) == "ep-dp_shard-dp_replicate-tp-cp-pp");
  CHECK(RankOrder::parse("tp-cq-dp").error().hint.find("cp") != std::string::npos);
  CHECK(!RankOrder::parse("tp-tp-dp").ok());
  CHECK(!RankOrder::parse("").ok());
}

TEST_CASE("members of groups, by hand") {
  const RankOrder megatron;
  const RankOrder llama = *RankOrder::parse("tp-cp-pp-dp");
  const Degrees d = degrees(2, 2, 4, 2);  // 32 ranks
  CHECK(d.world() == 32);
  CHECK(ranks_of(group_of(megatron, d, {Axis::tp})) == std::vector<int64_t>{0, 1});
  CHECK(ranks_of(group_of(megatron, d, {Axis::dp_shard})) == std::vector<int64_t>{0, 4, 8, 12});
  CHECK(ranks_of(group_of(megatron, d, {Axis::pp}), 5) == std::vector<int64_t>{5, 21});
  CHECK(ranks_of(group_of(llama, d, {Axis::pp})) == std::vector<int64_t>{0, 4});
  CHECK(ranks_of(group_of(llama, d, {Axis::dp_shard})) == std::vector<int64_t>{0, 8, 16, 24});
  // FSDP over dp and cp: contiguous in Megatron's order, with a gap in Llama's.
  const GroupDims near = group_of(megatron, d, {Axis::dp_shard, Axis::cp});
  CHECK(near.size() == 1);
  CHECK(near[0] == GroupDim{8, 2});
  const GroupDims far = group_of(llama, d, {Axis::dp_shard, Axis::cp});
  CHECK(far.size() == 2);
  CHECK(ranks_of(far) == std::vector<int64_t>{0, 2, 8, 10, 16, 18, 24, 26});
}

TEST_CASE("experts take their ranks from cp and dp") {
  const Degrees dense = degrees(2, 2, 8, 2);  // 64 ranks
  const Degrees expert = *expert_degrees(dense, 8, 1);
  CHECK(expert.world() == 64);
  CHECK(expert[Axis::dp_shard] == 4);
  CHECK(ranks_of(group_of(RankOrder{}, expert, {Axis::ep})) ==
        std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(expert_degrees(dense, 3, 1).error().kind == ErrorKind::no_plan);
}

TEST_CASE("inside a node nothing leaves by a NIC") {
  const Cluster cluster = *find_cluster("64x8xH100");
  const GroupLinks tp = links_of(cluster, {{8, 1}}, 512);
  CHECK(tp.nodes == 1);
  CHECK(tp.ranks_per_node == 8);
  CHECK(tp.level == -1);
  CHECK(tp.level_name == "nvlink");
  CHECK(tp.intra_bytes_per_s == Approx(450e9));
  CHECK(tp.inter_bytes_per_s == 0);
  CHECK(tp.p2p_bytes_per_s == Approx(450e9));
  const GroupLinks alone = links_of(cluster, {}, 512);
  CHECK(alone.ranks == 1);
  CHECK(alone.nodes == 1);
}

TEST_CASE("across nodes: fair shares of the NICs") {
  const Cluster rails = *find_cluster("64x8xH100");
  const GroupLinks dp = links_of(rails, {{64, 8}}, 512);
  CHECK(dp.nodes == 64);
  CHECK(dp.ranks_per_node == 1);
  CHECK(dp.inter_bytes_per_s == Approx(50e9));
  CHECK(dp.level_name == "spine");  // 64 nodes, 32 under one rail leaf
  CHECK(links_of(rails, {{32, 8}}, 512).level_name == "rail-leaf");
  const GroupLinks all = links_of(rails, {{512, 1}}, 512);
  CHECK(all.nodes == 64);
  CHECK(all.ranks_per_node == 8);
  CHECK(all.inter_bytes_per_s == Approx(50e9));  // per rank: the ring has 8 times that
  const GroupLinks cloud = links_of(*find_cluster("cloud-1nic"), {{8, 8}}, 64);
  CHECK(cloud.inter_bytes_per_s == Approx(12.5e9 / 8));  // one NIC, eight groups
  CHECK(cloud.p2p_bytes_per_s == Approx(12.5e9 / 8));
  // A pipeline over neighbours: one rank of each node sends to the next node.
  CHECK(links_of(*find_cluster("cloud-1nic"), {{16, 1}}, 64).p2p_bytes_per_s == Approx(12.5e9));
  CHECK(links_of(rails, {{16, 1}}, 512).p2p_bytes_per_s == Approx(50e9));
}

TEST_CASE("rail, full bisection and oversubscribed spine give three answers for one group") {
  // 16 nodes, one member each: under one rail switch; over spines at full rate; over spines at 4:1
  // with leaves of 2 nodes.
  const GroupDims dp{{16, 8}};
  const Cluster rail = with_tiers({{"rail", 32, 1, 2e-6}, {"spine", 0, 4, 4e-6}}, true);
  const Cluster full = with_tiers({{"leaf", 2, 1, 2e-6}, {"spine", 0, 1, 4e-6}}, false);
  const Cluster over = with_tiers({{"leaf", 2, 1, 2e-6}, {"spine", 0, 4, 4e-6}}, false);
  const GroupLinks a = links_of(rail, dp, 512);
  const GroupLinks b = links_of(full, dp, 512);
  const GroupLinks c = links_of(over, dp, 512);
  CHECK(a.inter_bytes_per_s == Approx(50e9));
  CHECK(a.inter_latency_s == Approx(2e-6));
  CHECK(b.inter_bytes_per_s == Approx(50e9));
  CHECK(b.inter_latency_s == Approx(4e-6));
  CHECK(c.inter_bytes_per_s == Approx(25e9));  // two nodes of the ring share a leaf: 50 * 2 / 4
  CHECK(c.inter_latency_s == Approx(4e-6));
  // All-to-all: 14 of 15 peers outside the node are behind the 4:1 uplink.
  CHECK(a.alltoall_inter_bytes_per_s == Approx(50e9));
  CHECK(b.alltoall_inter_bytes_per_s == Approx(50e9));
  CHECK(c.alltoall_inter_bytes_per_s == Approx(50e9 / 4 * 15 / 14));
}

TEST_CASE("Llama 3: a long ring crosses the 1:7 tier only at its ends, a short one pays it") {
  const Cluster llama = *with_gpus(*find_cluster("llama3-roce"), 16384);
  const RankOrder order = *RankOrder::parse("tp-cp-pp-dp");
  const Degrees d = degrees(8, 1, 128, 16);
  const GroupLinks dp = links_of(llama, group_of(order, d, {Axis::dp_shard}), 16384);
  CHECK(dp.level_name == "aggregation");
  CHECK(dp.nodes == 128);
  CHECK(dp.inter_bytes_per_s == Approx(50e9));  // 24 members a pod, 24 / 7 > 1
  const GroupLinks pp = links_of(llama, group_of(order, d, {Axis::pp}), 16384);
  CHECK(pp.level_name == "pod");
  CHECK(pp.p2p_bytes_per_s == Approx(50e9));
  // Pipeline outermost: 1,024 ranks of each pod of 3,072 send to the next stage through 1/7.
  const GroupLinks outer =
      links_of(llama, group_of(*RankOrder::parse("tp-cp-dp-pp"), d, {Axis::pp}), 16384);
  CHECK(outer.level_name == "aggregation");
  CHECK(outer.p2p_bytes_per_s == Approx(50e9 * 3072 / (1024 * 7)));
  // Three members a pod: the ring gets 3/7.
  const GroupLinks sparse = links_of(llama, {{16, 1024}}, 16384);
  CHECK(sparse.inter_bytes_per_s == Approx(50e9 * 3 / 7));
  // All-to-all over everything: 13,312 of 16,376 bytes that leave a node pay 1/7.
  const GroupLinks all = links_of(llama, {{16384, 1}}, 16384);
  CHECK(all.alltoall_inter_bytes_per_s == Approx(50e9 / 7 * 16376 / 13312));
}

TEST_CASE("NVL72: the rack is the node") {
  const Cluster cluster = *find_cluster("256xGB200");  // 4 x 64
  const GroupLinks ep = links_of(cluster, {{64, 1}}, 256);
  CHECK(ep.nodes == 1);
  CHECK(ep.hosts == 16);
  CHECK(ep.nvlink_domain_ranks == 64);
  CHECK(ep.intra_bytes_per_s == Approx(900e9));
  const GroupLinks dp = links_of(cluster, {{32, 8}}, 256);
  CHECK(dp.nodes == 4);
  CHECK(dp.ranks_per_node == 8);
  CHECK(dp.inter_bytes_per_s == Approx(50e9));
}

TEST_CASE("a group that does not line up with nodes is priced by its worst member") {
  const Cluster cluster = *find_cluster("6x8xH100");
  const GroupLinks six = links_of(cluster, {{6, 1}}, 48);  // ranks 6-11 lie in two nodes
  CHECK(six.nodes == 2);
  CHECK(six.ranks_per_node == 3);
}

TEST_CASE("without NVLink a group with several members a node leaves its rail") {
  Cluster box = *find_cluster("pcie-box");
  box.nodes = 8;
  box.rail_optimized = true;
  box.nics_per_node = 8;
  box.tiers = {{"rail", 32, 1, 2e-6}, {"spine", 0, 4, 4e-6}};
  const GroupLinks one = links_of(box, {{8, 8}}, 64);
  CHECK(one.same_rail);
  CHECK(one.level_name == "rail");
  const GroupLinks two = links_of(box, {{16, 4}}, 64);
  CHECK(!two.same_rail);
  CHECK(two.level_name == "spine");
}
