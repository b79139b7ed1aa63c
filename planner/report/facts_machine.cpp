// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "planner/report/facts.hpp"
#include "planner/report/format.hpp"

namespace meshplan::report {
namespace {

void rate(Sheet& sheet, const char* label, const char* key, double bytes_per_s) {
  sheet.add(label, key, bytes_per_s, bytes_per_s > 0 ? gb_per_s(bytes_per_s) : "none");
}

void peak(Sheet& sheet, const char* label, const char* key, double flops_per_s) {
  sheet.add(label, key, flops_per_s, flops_per_s > 0 ? tflops(flops_per_s) : "none");
}

void memory(Sheet& sheet, const char* label, const char* key, int64_t bytes) {
  sheet.add(label, key, bytes, gib(static_cast<double>(bytes)));
}

}  // namespace

Sheet facts_of(const Gpu& gpu) {
  Sheet s{"gpu", gpu.id, gpu.name, gpu.aliases, {}, gpu.source, gpu.assumed};
  s.word("family", "family", gpu.family);
  s.add("compute capability", "compute_capability", gpu.compute_capability,
        gpu.compute_capability > 0 ? fmt::format("{:.1f}", gpu.compute_capability) : "none");
  s.whole("streaming multiprocessors", "sm_count", gpu.sm_count);
  peak(s, "fp32 vector peak", "fp32_flops_per_s", gpu.fp32_flops_per_s);
  peak(s, "tf32 dense peak", "tf32_flops_per_s", gpu.tf32_flops_per_s);
  peak(s, "fp16 dense peak", "fp16_flops_per_s", gpu.fp16_flops_per_s);
  peak(s, "bf16 dense peak", "bf16_flops_per_s", gpu.bf16_flops_per_s);
  peak(s, "fp8 dense peak", "fp8_flops_per_s", gpu.fp8_flops_per_s);
  memory(s, "memory", "memory_bytes", gpu.memory_bytes);
  memory(s, "memory a process can have", "memory_usable_bytes", gpu.memory_usable_bytes);
  rate(s, "memory bandwidth", "memory_bytes_per_s", gpu.memory_bytes_per_s);
  memory(s, "L2 cache", "l2_bytes", gpu.l2_bytes);
  rate(s, "NVLink, each direction", "nvlink_bytes_per_s", gpu.nvlink_bytes_per_s);
  rate(s, "PCIe, each direction", "pcie_bytes_per_s", gpu.pcie_bytes_per_s);
  rate(s, "link to host CPU (C2C)", "c2c_bytes_per_s", gpu.c2c_bytes_per_s);
  s.add("power limit", "power_limit_w", gpu.power_limit_w, significant(gpu.power_limit_w) + " W");
  s.add("idle power", "idle_power_w", gpu.idle_power_w, significant(gpu.idle_power_w) + " W");
  s.word("measured kernels of", "kernel_table", gpu.kernel_table);
  s.word("measured collectives of", "collective_table", gpu.collective_table);
  s.word("cluster of the short form", "cluster", gpu.cluster);
  return s;
}

Sheet facts_of(const Cluster& c) {
  Sheet s{"cluster", c.id, c.name, {}, {}, c.source, c.assumed};
  s.add("gpu", "gpu", c.gpu.id, fmt::format("{} ({})", c.gpu.id, c.gpu.name));
  s.add("gpus", "gpus", c.gpus(),
        fmt::format("{} = {} x {}", grouped(c.gpus()), plural(c.nodes, "node"), c.gpus_per_node));
  s.facts.push_back({"", "nodes", c.nodes, ""});
  s.facts.push_back({"", "gpus_per_node", c.gpus_per_node, ""});
  s.word("links inside a node", "node_link", name_of(c.node_link));
  rate(s, "rate inside a node", "intra_bytes_per_s", c.intra_bytes_per_s);
  if (!c.mesh_bytes_per_s.empty()) {
    std::vector<std::string> rates;
    for (double each : c.mesh_bytes_per_s) rates.push_back(significant(each / 1e9));
    s.add("rate among 2, 3, ... GPUs", "mesh_bytes_per_s", c.mesh_bytes_per_s,
          fmt::format("{} GB/s", fmt::join(rates, ", ")));
  }
  s.whole("GPUs that NVLink joins", "nvlink_domain_gpus", c.nvlink_domain_gpus);
  s.whole("NICs a node", "nics_per_node", c.nics_per_node);
  rate(s, "rate of a NIC", "nic_bytes_per_s", c.nic_bytes_per_s);
  rate(s, "NIC rate a GPU", "nic_bytes_per_s_per_gpu", c.nic_bytes_per_s_per_gpu());
  s.word("network", "network", c.network);
  s.flag("rail-optimized", "rail_optimized", c.rail_optimized);
  Json tiers = Json::array();
  std::string text;
  for (const FabricTier& tier : c.tiers) {
    tiers.push_back({{"name", tier.name},
                     {"nodes", tier.nodes},
                     {"oversubscription_ratio", tier.oversubscription},
                     {"latency_s", tier.latency_s}});
    text += fmt::format("{}{} ({}, 1:{}, {})", text.empty() ? "" : "; ", tier.name,
                        tier.nodes > 0 ? plural(tier.nodes, "node") : "all nodes",
                        fmt::format("{:g}", tier.oversubscription), seconds(tier.latency_s));
  }
  s.add("tiers, bottom first", "tiers", tiers, text.empty() ? "none" : text);
  Json degraded = Json::array();
  std::vector<std::string> parts;
  for (const Degraded& part : c.degraded) {
    const std::string tier = part.tier < 0 ? "node" : c.tiers[static_cast<size_t>(part.tier)].name;
    degraded.push_back({{"tier", tier}, {"unit", part.unit}, {"share_fraction", part.share}});
    parts.push_back(fmt::format("{} {} at {}", tier, part.unit, percent(part.share)));
  }
  s.add("degraded uplinks", "degraded", degraded,
        parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", ")));
  s.whole("CPU cores a node", "host_cpu_cores", c.host.cpu_cores);
  memory(s, "host memory a node", "host_memory_bytes", c.host.memory_bytes);
  rate(s, "host memory bandwidth", "host_memory_bytes_per_s", c.host.memory_bytes_per_s);
  s.add("host power without GPUs", "host_power_w", c.host.power_w,
        significant(c.host.power_w) + " W");
  return s;
}

}  // namespace meshplan::report
