// SPDX-License-Identifier: Apache-2.0
#include "topologies/import/import.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {
// Two of eight GPUs would do for the reader; four keep the mesh cases visible.
const char* const kSwitch =
    "\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tNIC1\tNIC2\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\n"
    "GPU0\t X \tNV18\tNV18\tNV18\tPIX\tNODE\tSYS\t0-23,96-119\t0\tN/A\n"
    "GPU1\tNV18\t X \tNV18\tNV18\tNODE\tNODE\tSYS\t0-23,96-119\t0\tN/A\n"
    "GPU2\tNV18\tNV18\t X \tNV18\tSYS\tNODE\tPXB\t48-71\t1\tN/A\n"
    "GPU3\tNV18\tNV18\tNV18\t X \tSYS\tNODE\tNODE\t48-71\t1\tN/A\n"
    "NIC0\tPIX\tNODE\tSYS\tSYS\t X \tNODE\tSYS\n"
    "NIC1\tNODE\tNODE\tNODE\tNODE\tNODE\t X \tSYS\n"
    "NIC2\tSYS\tSYS\tPXB\tNODE\tSYS\tSYS\t X \n\n"
    "Legend:\n\n  X    = Self\n  NV#  = Connection traversing a bonded set of # NVLinks\n";
const char* const kMesh =
    "        GPU0    GPU1    GPU2    GPU3    CPU Affinity\n"
    "GPU0     X      NV1     NV1     NV2     0-19\n"
    "GPU1    NV1      X      NV2     NV1     0-19\n"
    "GPU2    NV1     NV2      X      NV1     0-19\n"
    "GPU3    NV2     NV1     NV1      X      0-19\n";
const char* const kXml =
    "<system version=\"1\">\n"
    " <cpu numaid=\"0\" arch=\"x86_64\" vendor=\"GenuineIntel\">\n"
    "  <pci busid=\"0000:1b:00.0\" class=\"0x030200\" link_speed=\"32.0 GT/s PCIe\">\n"
    "   <gpu dev=\"0\" sm=\"90\" rank=\"0\" gdr=\"1\">\n"
    "    <nvlink target=\"0000:05:00.0\" count=\"9\" tclass=\"0x068000\"/>\n"
    "    <nvlink target=\"0000:06:00.0\" count=\"9\" tclass=\"0x068000\"/>\n"
    "   </gpu>\n  </pci>\n"
    "  <pci busid=\"0000:2b:00.0\" class=\"0x030200\">\n"
    "   <gpu dev=\"1\" sm=\"90\" rank=\"1\" gdr=\"1\">\n"
    "    <nvlink target=\"0000:05:00.0\" count=\"18\" tclass=\"0x068000\"/>\n"
    "   </gpu>\n  </pci>\n"
    "  <pci busid=\"0000:1c:00.0\" class=\"0x020700\">\n"
    "   <nic><net name=\"mlx5_0\" dev=\"0\" speed=\"400000\" port=\"1\"/></nic>\n  </pci>\n"
    "  <nic><net name=\"eth0\" dev=\"1\" speed=\"25000\"/></nic>\n"
    " </cpu>\n</system>\n";
}  // namespace

TEST_CASE("nvidia-smi topo -m with NVSwitch: links, and the NICs near GPUs") {
  const auto h100 = import_topology(kSwitch, "node.txt", {"H100", 16, 0, 50e9});
  REQUIRE(h100.ok());
  CHECK(h100->kind == "nvidia-smi topo -m");
  CHECK(h100->cluster.id == "node");
  CHECK(h100->cluster.node_link == NodeLink::nvswitch);
  CHECK(h100->cluster.intra_bytes_per_s == Approx(450e9));
  CHECK(h100->cluster.gpus_per_node == 4);
  CHECK(h100->cluster.nics_per_node == 2);  // NIC1 is near no GPU
  CHECK(h100->cluster.gpus() == 64);
  CHECK(!h100->cluster.assumed.empty());
  CHECK(parse_cluster(to_yaml(h100->cluster), "node.yaml").ok());
}

TEST_CASE("nvidia-smi topo -m with links between pairs") {
  const auto v100 = import_topology(kMesh, "v.txt", {"V100-SXM2", 1, 0, 0});
  REQUIRE(v100.ok());
  CHECK(v100->cluster.node_link == NodeLink::nvlink_mesh);
  CHECK(v100->cluster.intra_rate(2) == Approx(25e9));   // GPU0-GPU1: one link
  CHECK(v100->cluster.intra_rate(3) == Approx(50e9));   // GPU0: 1 + 1
  CHECK(v100->cluster.intra_rate(4) == Approx(100e9));  // every GPU: 4
}

TEST_CASE("nvidia-smi: no GPU named, or a cut output") {
  CHECK(import_topology(kSwitch, "n", {}).error().kind == ErrorKind::usage);
  CHECK(import_topology(kSwitch, "n", {"H10O", 0, 0, 0}).error().hint.find("H100") !=
        std::string::npos);
  const std::string cut = std::string(kSwitch).substr(0, 170);
  const auto bad = import_topology(cut, "n", {"H100", 0, 0, 0});
  REQUIRE(!bad.ok());
  CHECK(bad.error().kind == ErrorKind::input);
  CHECK(import_topology("hello", "n", {}).error().kind == ErrorKind::input);
}

TEST_CASE("NCCL's XML: GPUs, NVSwitch links, fastest NICs") {
  const auto node = import_topology(kXml, "topo.xml", {});
  REQUIRE(node.ok());
  CHECK(node->cluster.gpu.id == "h100-sxm5-80gb");
  CHECK(node->cluster.gpus_per_node == 2);
  CHECK(node->cluster.node_link == NodeLink::nvswitch);
  CHECK(node->cluster.intra_bytes_per_s == Approx(450e9));
  CHECK(node->cluster.nics_per_node == 1);
  CHECK(node->cluster.nic_bytes_per_s == Approx(50e9));
  const auto cut = import_topology(std::string(kXml).substr(0, 300), "topo.xml", {});
  REQUIRE(!cut.ok());
  CHECK(cut.error().where.find("topo.xml") == 0);
  CHECK(!import_topology("<system></system>", "topo.xml", {}).ok());
}

TEST_CASE("host lists") {
  CHECK(*expand_hostlist("a[1-3,08],b") == std::vector<std::string>{"a1", "a2", "a3", "a08", "b"});
  CHECK(*expand_hostlist("r[1-2]n[1-2]") ==
        std::vector<std::string>{"r1n1", "r1n2", "r2n1", "r2n2"});
  CHECK(*expand_hostlist("n[008-010]") == std::vector<std::string>{"n008", "n009", "n010"});
  CHECK(!expand_hostlist("a[1-3").ok());
  CHECK(!expand_hostlist("a]").ok());
  CHECK(!expand_hostlist("a[3-1]").ok());
  CHECK(!expand_hostlist("a[1-999999999]").ok());
}

TEST_CASE("Slurm tree: sizes of the tiers, irregular ones noted") {
  const char* const conf =
      "# two pods\nSwitchName=leaf[1] Nodes=n[1-16]\nSwitchName=l2 Nodes=n[17-32]\n"
      "switchname=l3 nodes=n[33-48] LinkSpeed=400\nSwitchName=l4 Nodes=n[49-60]\n"
      "SwitchName=s1 Switches=leaf[1],l2\nSwitchName=s2 Switches=l[3-4]\n"
      "SwitchName=top Switches=s[1-2]\n";
  // A bracket in a switch's own name is taken as it stands.
  const auto broken = import_topology(conf, "topology.conf", {"H100", 0, 0, 0});
  REQUIRE(!broken.ok());
  CHECK(broken.error().message.find("'leaf1' is not defined") != std::string::npos);
  std::string good = conf;
  good.replace(good.find("leaf[1]"), 7, "leaf1");
  const auto tree = import_topology(good, "topology.conf", {"H100", 0, 0, 0});
  REQUIRE(tree.ok());
  CHECK(tree->cluster.nodes == 60);
  REQUIRE(tree->cluster.tiers.size() == 3);
  CHECK(tree->cluster.tiers[0].nodes == 16);
  CHECK(tree->cluster.tiers[1].nodes == 32);
  CHECK(tree->cluster.tiers[2].nodes == 0);
  bool noted = false;
  for (const auto& line : tree->cluster.assumed)
    noted |= line.find("tiers.leaf: units of 12 to 16") == 0;
  CHECK(noted);
  CHECK(parse_cluster(to_yaml(tree->cluster), "t.yaml").ok());
  CHECK(
      !import_topology("SwitchName=a Switches=b\nSwitchName=b Switches=a\n", "t", {"H100", 0, 0, 0})
           .ok());
}

TEST_CASE("Slurm blocks are NVLink domains where the GPU has them") {
  const auto racks =
      import_topology("BlockName=b1 Nodes=t[01-18]\nBlockName=b2 Nodes=t[19-36]\nBlockSizes=18\n",
                      "topology.conf", {"GB200", 0, 0, 0});
  REQUIRE(racks.ok());
  CHECK(racks->cluster.nodes == 36);
  CHECK(racks->cluster.nvlink_domain_gpus == 72);
}
