// SPDX-License-Identifier: Apache-2.0
#include "topologies/cluster/cluster.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("every bundled cluster reads and is its own GPU's match") {
  const auto clusters = all_clusters();
  REQUIRE(clusters.ok());
  REQUIRE(clusters->size() >= 14);
  for (const Cluster& cluster : *clusters) {
    CAPTURE(cluster.id);
    CHECK(find_cluster(cluster.id)->id == cluster.id);
    CHECK(!cluster.source.empty());
    CHECK(cluster.nic_bytes_per_s_per_gpu() > 0);
    CHECK(!cluster.tiers.empty());
  }
  const auto gpus = all_gpus();
  for (const Gpu& gpu : *gpus) {
    CAPTURE(gpu.id, gpu.cluster);
    REQUIRE(find_cluster(gpu.cluster).ok());
    if (!gpu.cluster_of_4.empty()) CHECK(find_cluster(gpu.cluster_of_4)->gpus_per_node == 4);
    CHECK(find_cluster("2x8x" + gpu.id)->gpu.id == gpu.id);
  }
}

TEST_CASE("short forms") {
  const Cluster big = *find_cluster("2048x8xH100");
  CHECK(big.gpus() == 16384);
  CHECK(big.nodes == 2048);
  CHECK(big.nic_bytes_per_s_per_gpu() == Approx(50e9));
  CHECK(big.intra_bytes_per_s == Approx(450e9));
  CHECK(big.rail_optimized);
  const Cluster mid = *find_cluster("512xH100");
  CHECK(mid.nodes == 64);
  CHECK(mid.gpus_per_node == 8);
  CHECK(find_cluster("131072xH100")->gpus() == 131072);

  const Cluster part = *find_cluster("2xH100");
  CHECK(part.nodes == 1);
  CHECK(part.gpus() == 2);
  CHECK(part.nvlink_domain_gpus == 2);

  const Cluster v100 = *find_cluster("4x4xV100-32");  // pair by pair: 1 of 3 links for two GPUs
  CHECK(v100.intra_rate(4) == Approx(150e9));
  CHECK(v100.intra_rate(2) == Approx(50e9));

  const Cluster h4 = *find_cluster("4x4xH100");
  CHECK(h4.gpus_per_node == 4);
  CHECK(h4.nic_bytes_per_s_per_gpu() == Approx(50e9));
  CHECK(h4.assumed.size() > find_cluster("dgx-h100")->assumed.size());
}

TEST_CASE("taking more nodes than a cluster has is said") {
  const Cluster more = *with_gpus(*find_cluster("dgx-h100"), 2048);
  CHECK(more.nodes == 256);
  CHECK(more.assumed.back().find("nodes: 256 where dgx-h100 has 128") == 0);
  const Cluster less = *with_gpus(*find_cluster("llama3-roce"), 8192);
  CHECK(less.assumed == find_cluster("llama3-roce")->assumed);
}

TEST_CASE("NVL72: trays of 4, domains of 72 or of what divides the count evenly") {
  const Cluster rack = *find_cluster("72xGB200");
  CHECK(rack.gpus_per_node == 4);
  CHECK(rack.nodes == 18);
  CHECK(rack.nvlink_domain_gpus == 72);
  CHECK(find_cluster("36xGB200")->nvlink_domain_gpus == 36);
  CHECK(find_cluster("256xGB200")->nvlink_domain_gpus == 64);
  CHECK(find_cluster("576xGB200")->nvlink_domain_gpus == 72);
  const Cluster stated = *find_cluster("8x72xGB200");
  CHECK(stated.gpus() == 576);
  CHECK(stated.gpus_per_node == 4);
  CHECK(stated.nvlink_domain_gpus == 72);
}

TEST_CASE("wrong clusters: kind of error and nearest fix") {
  const auto misspelt = find_cluster("dgx-h10");
  REQUIRE(!misspelt.ok());
  CHECK(misspelt.error().kind == ErrorKind::usage);
  CHECK(misspelt.error().hint.find("dgx-h100") != std::string::npos);
  CHECK(find_cluster("64x8xH10O").error().hint.find("H100") != std::string::npos);
  CHECK(find_cluster("0x8xH100").error().kind == ErrorKind::usage);
  CHECK(find_cluster("8x0xH100").error().kind == ErrorKind::usage);
  CHECK(find_cluster("999999999x999999999xH100").error().kind == ErrorKind::usage);
  CHECK(find_cluster("./none.yaml").error().kind == ErrorKind::input);
  const auto uneven = with_gpus(*find_cluster("dgx-h100"), 100);
  REQUIRE(!uneven.ok());
  CHECK(uneven.error().hint.find("96 or 104") != std::string::npos);
}

TEST_CASE("a user's file states what differs, the rest is noted as assumed") {
  const auto mine = parse_cluster(
      "gpu: H100\nnodes: 4\nnics_per_node: 1\nnic_gb_per_s_per_direction: 12.5\n", "mine.yaml");
  REQUIRE(mine.ok());
  CHECK(mine->id == "mine");
  CHECK(mine->nic_bytes_per_s_per_gpu() == Approx(12.5e9 / 8));
  CHECK(mine->intra_bytes_per_s == Approx(450e9));
  bool noted = false;
  for (const auto& line : mine->assumed) noted |= line.find("tiers: not stated") == 0;
  CHECK(noted);
}

TEST_CASE("a cluster that is written reads back the same") {
  const auto clusters = all_clusters();
  for (const Cluster& cluster : *clusters) {
    const std::string text = to_yaml(cluster);
    CAPTURE(text);
    const auto back = parse_cluster(text, "back.yaml");
    REQUIRE(back.ok());
    CHECK(to_yaml(*back) == text);
    CHECK(back->id == cluster.id);
    CHECK(back->gpu.id == cluster.gpu.id);
    CHECK(back->assumed == cluster.assumed);
    CHECK(back->intra_rate(2) == Approx(cluster.intra_rate(2)));
    CHECK(back->nic_bytes_per_s == Approx(cluster.nic_bytes_per_s));
    CHECK(back->tiers.size() == cluster.tiers.size());
    CHECK(back->tiers.back().latency_s == Approx(cluster.tiers.back().latency_s));
    CHECK(back->host.memory_bytes == cluster.host.memory_bytes);
  }
  const std::string sick =
      "base: dgx-h100\nnodes: 64\ndegraded:\n  - {tier: rail-leaf, unit: 1, share: 0.25}\n";
  const Cluster cluster = *parse_cluster(sick, "sick.yaml");
  const Cluster back = *parse_cluster(to_yaml(cluster), "back.yaml");
  REQUIRE(back.degraded.size() == 1);
  CHECK(back.degraded[0].leaves_bytes_per_s_per_gpu == Approx(12.5e9));
}

TEST_CASE("a user's NVL72 file: the domain is fitted unless it is stated") {
  CHECK(parse_cluster("gpu: GB200\nnodes: 64\n", "a")->nvlink_domain_gpus == 64);
  CHECK(parse_cluster("gpu: GB200\nnodes: 64\nnvlink_domain_gpus: 72\n", "a")->nvlink_domain_gpus ==
        72);
  const auto huge = parse_cluster("gpu: H100\nnodes: 999999999999\n", "bad.yaml");
  REQUIRE(!huge.ok());
  CHECK(huge.error().where == "bad.yaml:2: nodes");
}

TEST_CASE("faults in a user's file come with file, line and key") {
  const auto negative =
      parse_cluster("gpu: H100\nnodes: 4\nnic_gb_per_s_per_direction: -50\n", "bad.yaml");
  REQUIRE(!negative.ok());
  CHECK(negative.error().kind == ErrorKind::input);
  CHECK(negative.error().where == "bad.yaml:3: nic_gb_per_s_per_direction");
  CHECK(negative.error().value == "-50");

  const auto unknown = parse_cluster("gpu: H100\nnodes: 4\nnics_per_nod: 8\n", "bad.yaml");
  REQUIRE(!unknown.ok());
  CHECK(unknown.error().hint.find("nics_per_node") != std::string::npos);

  const auto gpu = parse_cluster("gpu: H10O\nnodes: 4\n", "bad.yaml");
  REQUIRE(!gpu.ok());
  CHECK(gpu.error().kind == ErrorKind::input);
  CHECK(gpu.error().hint.find("H100") != std::string::npos);

  CHECK(!parse_cluster("nodes: 4\n", "bad.yaml").ok());
  CHECK(!parse_cluster("gpu: H100\nnodes: 0\n", "bad.yaml").ok());
  CHECK(!parse_cluster("gpu: L40S\nnodes: 1\nnode_link: nvswitch\n", "bad.yaml").ok());
  const auto tiers = parse_cluster(
      "gpu: H100\nnodes: 64\ntiers:\n  - {name: leaf, nodes: 16, latency_us: 2}\n"
      "  - {name: spine, nodes: 24, latency_us: 3}\n",
      "bad.yaml");
  REQUIRE(!tiers.ok());
  CHECK(tiers.error().where == "bad.yaml:5: tiers[1].nodes");
}

TEST_CASE("facts of published runs") {
  ClusterFacts facts;
  facts.gpu = "h100-sxm5-80gb";
  facts.gpus = 16384;
  facts.gpus_per_node = 8;
  facts.inter_gb_per_s_per_gpu = "50";
  facts.fabric = "NVLink; RoCE 400 Gb/s per GPU, 3-layer Clos (1:7 oversubscribed between pods)";
  const Cluster llama = *cluster_of(facts);
  CHECK(llama.id == "llama3-roce");
  CHECK(llama.tiers.back().oversubscription == 7);
  CHECK(llama.gpus() == 16384);

  facts.fabric = "NVLink 900 GB/s; 8x ConnectX-7";
  facts.intra_gb_per_s = "900";  // both directions
  facts.gpus = 64;
  CHECK(cluster_of(facts)->intra_bytes_per_s == Approx(450e9));

  ClusterFacts zay;
  zay.gpu = "v100-sxm3-32gb";
  zay.gpus = 16;
  zay.gpus_per_node = 4;
  zay.inter_gb_per_s_per_gpu = "12.5";
  zay.fabric = "Jean Zay: NVLink, 4x100 Gb/s Omni-Path per 4-GPU node";
  const Cluster v100 = *cluster_of(zay);
  CHECK(v100.network == "omni-path");
  CHECK(v100.nic_bytes_per_s_per_gpu() == Approx(12.5e9));
  CHECK(v100.intra_rate(2) == Approx(50e9));

  ClusterFacts rack;
  rack.gpu = "gb200";
  rack.gpus = 256;
  rack.gpus_per_node = 72;
  rack.intra_gb_per_s = "900";
  rack.inter_gb_per_s_per_gpu = "50";
  const Cluster nvl = *cluster_of(rack);
  CHECK(nvl.intra_bytes_per_s == Approx(900e9));
  CHECK(nvl.nvlink_domain_gpus == 64);

  ClusterFacts odd = rack;
  odd.gpu = "A100";
  odd.gpus = 12;
  odd.gpus_per_node = 8;
  CHECK(cluster_of(odd)->nodes == 2);
  CHECK(cluster_of(odd)->gpus_per_node == 6);

  odd.gpu = "H100 96GB HBM2e 2.4TB/s, 500W limit";  // words behind the name
  CHECK(cluster_of(odd)->gpu.id == "h100-sxm5-96gb-500w");
  odd.gpu = "X100 80GB";
  CHECK_FALSE(cluster_of(odd).ok());

  ClusterFacts pcie;
  pcie.gpu = "a100-pcie-80gb";
  pcie.gpus = 8;
  pcie.gpus_per_node = 8;
  pcie.fabric = "PCIe";
  CHECK(cluster_of(pcie)->node_link == NodeLink::pcie);
}
