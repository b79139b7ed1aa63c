// SPDX-License-Identifier: Apache-2.0
#include "topologies/import/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "topologies/cluster/shape.hpp"
#include "topologies/import/formats.hpp"

namespace meshplan {
namespace {

/// One NVLink, one direction (NVIDIA whitepapers: 25 GB/s up to Hopper, 50 GB/s on Blackwell).
double link_rate(const Gpu& gpu) { return gpu.family == "blackwell" ? 50e9 : 25e9; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

Result<Imported> import_node(const NodeFacts& facts, const Gpu& gpu, const std::string& name,
                             const ImportHints& hints) {
  const std::string stem = std::filesystem::path(name).stem().string();
  Imported out;
  MESHPLAN_TRY(out.cluster, shaped_for(gpu, 0));
  Cluster& cluster = out.cluster;
  const std::string bundled = cluster.id;
  cluster.assumed.clear();
  const double bundled_nic = cluster.nic_bytes_per_s;
  cluster.id = cluster.name = stem;
  cluster.gpus_per_node = facts.gpus;
  out.found.push_back(fmt::format("{} GPUs in the node", facts.gpus));

  // Every pair with all the links of a GPU is a switch; fewer, or not all pairs, is a mesh.
  int64_t most = 0, least = INT64_MAX;
  for (size_t i = 0; i < facts.links.size(); ++i)
    for (size_t j = 0; j < facts.links.size(); ++j) {
      if (i == j) continue;
      most = std::max(most, facts.links[i][j]);
      least = std::min(least, facts.links[i][j]);
    }
  const int64_t to_switch =
      facts.switch_links > 0 ? facts.switch_links
      : most == least && static_cast<double>(most) * link_rate(gpu) > 0.6 * gpu.nvlink_bytes_per_s
          ? most
          : 0;
  cluster.mesh_bytes_per_s.clear();
  if (to_switch > 0) {
    cluster.node_link = NodeLink::nvswitch;
    cluster.intra_bytes_per_s = static_cast<double>(to_switch) * link_rate(gpu);
    out.found.push_back(fmt::format("NVSwitch, {} NVLinks a GPU", to_switch));
  } else if (most > 0) {
    cluster.node_link = NodeLink::nvlink_mesh;
    // A ring over the first n GPUs uses no more than the links of its poorest member.
    for (size_t ranks = 2; ranks <= facts.links.size(); ++ranks) {
      int64_t poorest = INT64_MAX;
      for (size_t i = 0; i < ranks; ++i) {
        int64_t sum = 0;
        for (size_t j = 0; j < ranks; ++j) sum += facts.links[i][j];
        poorest = std::min(poorest, sum);
      }
      const double rate = static_cast<double>(poorest) * link_rate(gpu);
      // Some member without a link: the group falls back to PCIe.
      cluster.mesh_bytes_per_s.push_back(rate > 0 ? rate : gpu.pcie_bytes_per_s);
    }
    cluster.intra_bytes_per_s = cluster.mesh_bytes_per_s.back();
    out.found.push_back(fmt::format("NVLinks between pairs, up to {} each", most));
  } else {
    cluster.node_link = NodeLink::pcie;
    cluster.intra_bytes_per_s = gpu.pcie_bytes_per_s;
    out.found.push_back("no NVLink");
  }
  cluster.nvlink_domain_gpus = cluster.node_link == NodeLink::pcie ? 1 : facts.gpus;
  if (facts.nics > 0) {
    cluster.nics_per_node = facts.nics;
    out.found.push_back(fmt::format("{} NICs", facts.nics));
  } else {
    cluster.assumed.push_back(fmt::format("nics_per_node: no NIC listed, as {}", bundled));
  }
  if (facts.nic_bytes_per_s > 0) {
    cluster.nic_bytes_per_s = facts.nic_bytes_per_s;
    out.found.push_back(fmt::format("{:g} Gb/s a NIC", facts.nic_bytes_per_s * 8 / 1e9));
  } else if (hints.nic_bytes_per_s > 0) {
    cluster.nic_bytes_per_s = hints.nic_bytes_per_s;
  } else {
    cluster.nic_bytes_per_s = bundled_nic;
    cluster.assumed.push_back(
        fmt::format("nic_gb_per_s_per_direction: {:g}, as {}", bundled_nic / 1e9, bundled));
  }
  cluster.nodes = std::max<int64_t>(1, hints.nodes);
  if (hints.nodes == 0) cluster.assumed.push_back("nodes: 1, the file describes a node");
  for (const char* key : {"tiers", "network", "rail_optimized", "host"})
    cluster.assumed.push_back(fmt::format("{}: as {}", key, bundled));
  return out;
}

Result<Imported> import_topology(const std::string& text, const std::string& name,
                                 const ImportHints& hints) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  const std::string words = lower(text);
  Result<Imported> out =
      Diagnostic{ErrorKind::input,
                 "not a topology that can be imported",
                 name,
                 "",
                 "",
                 "known: `nvidia-smi topo -m`, NCCL_TOPO_DUMP_FILE (XML), Slurm topology.conf"};
  if (first != std::string::npos && text[first] == '<')
    out = import_nccl_xml(text, name, hints);
  else if (words.find("switchname=") != std::string::npos ||
           words.find("blockname=") != std::string::npos)
    out = import_slurm(text, name, hints);
  else if (text.find("GPU0") != std::string::npos)
    out = import_nvidia_smi(text, name, hints);
  if (out.ok()) out->cluster.source = fmt::format("imported from {} ({})", name, out->kind);
  return out;
}

}  // namespace meshplan
