// SPDX-License-Identifier: Apache-2.0
#include "topologies/cluster/shape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "topologies/fabric/fabric.hpp"

namespace meshplan {
namespace {

bool says(const std::string& text, const char* word) {
  return text.find(word) != std::string::npos;
}

/// A figure of a published run: empty or no number gives 0.
double figure(const std::string& text) { return std::strtod(text.c_str(), nullptr) * 1e9; }

const char* network_of(const std::string& fabric) {
  if (says(fabric, "RoCE") || says(fabric, "ROCE")) return "roce";
  if (says(fabric, "EFA")) return "efa";
  if (says(fabric, "Omni-Path")) return "omni-path";
  if (says(fabric, "Slingshot")) return "slingshot";
  return "";
}

}  // namespace

void put_gpu(Cluster& cluster, const Gpu& gpu) {
  if (gpu.id == cluster.gpu.id) return;
  const double before = cluster.intra_bytes_per_s;
  const bool nvlink = cluster.node_link != NodeLink::pcie && gpu.nvlink_bytes_per_s > 0;
  cluster.intra_bytes_per_s = nvlink ? gpu.nvlink_bytes_per_s : gpu.pcie_bytes_per_s;
  for (double& rate : cluster.mesh_bytes_per_s) rate *= cluster.intra_bytes_per_s / before;
  if (!nvlink) {
    cluster.node_link = NodeLink::pcie;
    cluster.nvlink_domain_gpus = 1;
  }
  cluster.gpu = gpu;
}

void measure_degraded(Cluster& cluster) {
  const int64_t world = cluster.gpus();
  std::vector<Degraded> kept;
  for (Degraded part : cluster.degraded) {
    const auto tier = static_cast<size_t>(part.tier);
    const int64_t unit =
        part.tier < 0 ? cluster.island_gpus() : cluster.tiers[tier].nodes * cluster.gpus_per_node;
    if (part.unit * unit >= world || world <= unit) continue;
    std::vector<int64_t> inside, outside;
    for (int64_t rank = 0; rank < world; ++rank)
      (rank / unit == part.unit ? inside : outside).push_back(rank);
    part.leaves_bytes_per_s_per_gpu =
        max_flow_bytes_per_s(cluster, inside, outside) / static_cast<double>(inside.size());
    kept.push_back(part);
  }
  cluster.degraded = std::move(kept);
}

Result<Cluster> shaped_for(const Gpu& gpu, int64_t gpus_per_node) {
  const bool four = gpus_per_node == 4 && !gpu.cluster_of_4.empty();
  MESHPLAN_TRY(Cluster out, find_cluster(four ? gpu.cluster_of_4 : gpu.cluster));
  put_gpu(out, gpu);
  const int64_t bundled = out.gpus_per_node;
  if (gpus_per_node == 0 || gpus_per_node == bundled) return out;
  if (gpus_per_node > bundled && gpus_per_node <= out.nvlink_domain_gpus &&
      gpus_per_node % bundled == 0) {
    out.nvlink_domain_gpus = gpus_per_node;
    return out;
  }
  // Fewer or more GPUs a node: the same NIC rate for each GPU.
  const double per_gpu = out.nic_bytes_per_s_per_gpu();
  if (out.nics_per_node * gpus_per_node % bundled == 0) {
    out.nics_per_node = out.nics_per_node * gpus_per_node / bundled;
  } else {
    out.nics_per_node = 1;
    out.nic_bytes_per_s = per_gpu * static_cast<double>(gpus_per_node);
  }
  if (out.nvlink_domain_gpus > 1) out.nvlink_domain_gpus = gpus_per_node;
  out.assumed.push_back(
      fmt::format("gpus_per_node: {} in place of the {} of {}, NICs in proportion", gpus_per_node,
                  bundled, out.id));
  out.gpus_per_node = gpus_per_node;
  return out;
}

namespace {

/// What a table says of a board beyond its name stands behind it: "H100 96GB HBM2e, 500W limit".
Result<Gpu> gpu_of(std::string words) {
  Result<Gpu> whole = find_gpu(words);
  for (size_t end = words.rfind(' '); !whole.ok() && end != std::string::npos && end > 0;
       end = words.rfind(' ')) {
    words.erase(end);
    if (Result<Gpu> found = find_gpu(words); found.ok()) return found;
  }
  return whole;
}

}  // namespace

Result<Cluster> cluster_of(const ClusterFacts& facts) {
  MESHPLAN_TRY(const Gpu gpu, gpu_of(facts.gpu));
  Cluster out;
  if (says(facts.fabric, "1:7")) {
    MESHPLAN_TRY(out, find_cluster("llama3-roce"));
    put_gpu(out, gpu);
  } else {
    MESHPLAN_TRY(out, shaped_for(gpu, facts.gpus_per_node));
  }
  if (says(facts.fabric, "PCIe") && !says(facts.fabric, "NVLink")) {
    out.node_link = NodeLink::pcie;
    out.nvlink_domain_gpus = 1;
    out.intra_bytes_per_s = gpu.pcie_bytes_per_s;
    out.mesh_bytes_per_s.clear();
  }
  // Sources print NVLink in both directions as often as in one; twice the datasheet is the former.
  double intra = figure(facts.intra_gb_per_s);
  if (std::abs(intra - 2 * out.intra_bytes_per_s) < 0.1 * out.intra_bytes_per_s) intra /= 2;
  if (intra > 0 && intra != out.intra_bytes_per_s) {
    for (double& rate : out.mesh_bytes_per_s) rate *= intra / out.intra_bytes_per_s;
    out.intra_bytes_per_s = intra;
  }
  if (const char* network = network_of(facts.fabric); *network != '\0') {
    out.network = network;
    out.rail_optimized = false;
  }
  if (const double inter = figure(facts.inter_gb_per_s_per_gpu); inter > 0) {
    out.nic_bytes_per_s =
        inter * static_cast<double>(out.gpus_per_node) / static_cast<double>(out.nics_per_node);
  } else if (facts.gpus > out.gpus_per_node) {
    out.assumed.push_back(fmt::format("nic_gb_per_s_per_direction: not stated, as {}", out.id));
  }
  if (facts.gpus > out.gpus_per_node && facts.gpus % out.gpus_per_node != 0) {
    // 12 GPUs on nodes of 8: the fewest nodes that share them evenly, each with all of its NICs.
    int64_t nodes = facts.gpus / out.gpus_per_node + 1;
    while (facts.gpus % nodes != 0) ++nodes;
    out.assumed.push_back(
        fmt::format("gpus_per_node: {} of {} used", facts.gpus / nodes, out.gpus_per_node));
    out.gpus_per_node = facts.gpus / nodes;
    if (out.nvlink_domain_gpus > 1) out.nvlink_domain_gpus = out.gpus_per_node;
  }
  return with_gpus(std::move(out), facts.gpus);
}

}  // namespace meshplan
