// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "topologies/cluster/cluster.hpp"

namespace meshplan {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

/// 15 digits: whole numbers stay whole, and what is read back is written the same.
std::string number(double value) { return fmt::format("{:.15g}", value); }

}  // namespace

const char* name_of(NodeLink link) {
  switch (link) {
    case NodeLink::nvswitch:
      return "nvswitch";
    case NodeLink::nvlink_mesh:
      return "nvlink_mesh";
    case NodeLink::pcie:
      return "pcie";
  }
  return "?";
}

std::string to_yaml(const Cluster& c) {
  std::string out;
  const auto line = [&](const char* key, const std::string& value) {
    out += fmt::format("{}: {}\n", key, value);
  };
  line("id", quoted(c.id));
  line("name", quoted(c.name));
  line("gpu", c.gpu.id);
  line("nodes", std::to_string(c.nodes));
  line("gpus_per_node", std::to_string(c.gpus_per_node));
  line("node_link", name_of(c.node_link));
  line("nvlink_domain_gpus", std::to_string(c.nvlink_domain_gpus));
  line("intra_gb_per_s_per_direction", number(c.intra_bytes_per_s / 1e9));
  if (!c.mesh_bytes_per_s.empty()) {
    std::vector<std::string> rates;
    for (double rate : c.mesh_bytes_per_s) rates.push_back(number(rate / 1e9));
    line("mesh_gb_per_s_by_ranks", fmt::format("[{}]", fmt::join(rates, ", ")));
  }
  line("nics_per_node", std::to_string(c.nics_per_node));
  line("nic_gb_per_s_per_direction", number(c.nic_bytes_per_s / 1e9));
  line("network", c.network);
  line("rail_optimized", c.rail_optimized ? "true" : "false");
  out += "tiers:\n";
  for (const FabricTier& tier : c.tiers)
    out += fmt::format("  - {{name: {}, nodes: {}, oversubscription: {}, latency_us: {}}}\n",
                       quoted(tier.name), tier.nodes, number(tier.oversubscription),
                       number(tier.latency_s * 1e6));
  if (!c.degraded.empty()) out += "degraded:\n";
  for (const Degraded& part : c.degraded)
    out += fmt::format("  - {{tier: {}, unit: {}, share: {}}}\n",
                       part.tier < 0 ? "node" : c.tiers[static_cast<size_t>(part.tier)].name,
                       part.unit, number(part.share));
  out += "host:\n";
  out += fmt::format("  cpu_cores: {}\n", c.host.cpu_cores);
  out += fmt::format("  memory_gb: {}\n", number(static_cast<double>(c.host.memory_bytes) / 1e9));
  out += fmt::format("  memory_gb_per_s: {}\n", number(c.host.memory_bytes_per_s / 1e9));
  out += fmt::format("  power_w: {}\n", number(c.host.power_w));
  if (!c.source.empty()) line("source", quoted(c.source));
  if (!c.assumed.empty()) out += "assumed:\n";
  for (const std::string& text : c.assumed) out += fmt::format("  - {}\n", quoted(text));
  return out;
}

}  // namespace meshplan
