// SPDX-License-Identifier: Apache-2.0
#include "topologies/cluster/cluster.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>

#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/cluster/shape.hpp"

namespace meshplan {
namespace {

std::string folder() { return data_root() + "/topologies/data/clusters"; }

std::vector<std::string> cluster_ids() {
  std::vector<std::string> out;
  for (const auto& path : files_in(folder(), ".yaml"))
    out.push_back(std::filesystem::path(path).stem().string());
  return out;
}

/// "2048x8xH100": nodes, GPUs per node, GPU; "512xH100": GPUs, 0, GPU. Nothing if not of that form.
struct ShortForm {
  int64_t first = 0, per_node = 0;
  std::string gpu;
};
std::optional<int64_t> leading_number(std::string& text) {
  size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits]))) ++digits;
  if (digits == 0 || digits > 9 || digits + 1 >= text.size()) return std::nullopt;
  if (text[digits] != 'x' && text[digits] != 'X') return std::nullopt;
  const int64_t value = std::stoll(text.substr(0, digits));
  text.erase(0, digits + 1);
  return value;
}
std::optional<ShortForm> short_form(std::string text) {
  ShortForm out;
  const auto first = leading_number(text);
  if (!first) return std::nullopt;
  out.first = *first;
  const auto second = leading_number(text);
  if (second) out.per_node = *second;
  if (second && *second == 0) out.per_node = -1;
  out.gpu = text;
  return out;
}

constexpr int64_t kMostGpus = 10'000'000;
constexpr int64_t kGpusOfAName = 1024;  ///< of a cluster that a GPU's name stands for

}  // namespace

double Cluster::nic_bytes_per_s_per_gpu() const {
  return static_cast<double>(nics_per_node) * nic_bytes_per_s / static_cast<double>(gpus_per_node);
}

double Cluster::intra_rate(int64_t ranks) const {
  if (node_link != NodeLink::nvlink_mesh || mesh_bytes_per_s.empty() || ranks < 2)
    return intra_bytes_per_s;
  const auto last = static_cast<int64_t>(mesh_bytes_per_s.size()) - 1;
  return mesh_bytes_per_s[static_cast<size_t>(std::min(ranks - 2, last))];
}

int64_t Cluster::island_gpus() const { return std::max(nvlink_domain_gpus, gpus_per_node); }

Result<Cluster> find_cluster(const std::string& text) {
  if (auto form = short_form(text)) {
    const int64_t per_node = std::max<int64_t>(form->per_node, 1);
    if (form->first < 1 || form->per_node < 0 || form->first > kMostGpus / per_node)
      return Diagnostic{ErrorKind::usage,
                        fmt::format("a cluster has 1 to {} GPUs", kMostGpus),
                        "",
                        text,
                        "",
                        "NODESxGPUS_PER_NODExGPU, e.g. 64x8xH100"};
    MESHPLAN_TRY(Gpu gpu, find_gpu(form->gpu));
    MESHPLAN_TRY(Cluster out, shaped_for(gpu, form->per_node));
    out.assumed.push_back(fmt::format("node, NICs and fabric: as {}", out.id));
    out.id = text;
    out.name = text;
    out.nodes = kMostGpus;  // the tiers of a bundled fabric go on; a stated count is no extension
    if (form->per_node == 0) return with_gpus(std::move(out), form->first);
    return with_gpus(std::move(out), form->first * form->per_node);
  }
  const std::vector<std::string> ids = cluster_ids();
  if (std::find(ids.begin(), ids.end(), text) != ids.end())
    return read_cluster(folder() + "/" + text + ".yaml");
  const auto ends = [&](const std::string& suffix) {
    return text.size() > suffix.size() &&
           text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
  };
  if (text.find('/') != std::string::npos || ends(".yaml") || ends(".yml") || ends(".json"))
    return read_cluster(text);
  if (const auto gpu = find_gpu(text); gpu.ok()) {
    MESHPLAN_TRY(Cluster out, shaped_for(*gpu, 0));
    out.assumed.push_back(fmt::format("node, NICs and fabric: as {}", out.id));
    out.id = text;
    out.name = text;
    out.nodes = kMostGpus;  // --gpus says how many; the fabric goes on
    return with_gpus(std::move(out), kGpusOfAName);
  }
  Diagnostic error{ErrorKind::usage, "unknown cluster", "", text, "", suggest(text, ids)};
  error.notes.push_back(
      "also a path to a YAML file, NODESxGPUS_PER_NODExGPU, e.g. 64x8xH100, or a GPU's name");
  return error;
}

Result<Cluster> with_gpus(Cluster cluster, int64_t gpus) {
  const int64_t per_node = cluster.gpus_per_node;
  if (gpus < 1 || gpus > kMostGpus)
    return Diagnostic{ErrorKind::usage, fmt::format("a cluster has 1 to {} GPUs", kMostGpus), "",
                      std::to_string(gpus)};
  if (gpus < per_node) {
    cluster.nodes = 1;
    cluster.gpus_per_node = gpus;
    cluster.nvlink_domain_gpus = std::min(cluster.nvlink_domain_gpus, gpus);
    cluster.degraded.clear();
    return cluster;
  }
  if (gpus % per_node != 0) {
    const int64_t below = gpus / per_node * per_node;
    return Diagnostic{ErrorKind::usage,
                      fmt::format("nodes of this cluster have {} GPUs", per_node),
                      cluster.id,
                      std::to_string(gpus),
                      "",
                      fmt::format("{} or {} GPUs fill whole nodes", below, below + per_node)};
  }
  const int64_t nodes = gpus / per_node;
  if (nodes > cluster.nodes)
    cluster.assumed.push_back(
        fmt::format("nodes: {} where {} has {}; its fabric is taken to go on in the same way",
                    nodes, cluster.id, cluster.nodes));
  cluster.nodes = nodes;
  const int64_t domain = cluster.nvlink_domain_gpus;
  if (domain > per_node) {
    // Racks are used evenly: 256 GPUs are 4 x 64 of racks with 72, as their users do it.
    int64_t used = std::min(domain, gpus);
    for (int64_t d = used; d * 3 >= used * 2; d -= per_node) {
      if (gpus % d != 0) continue;
      used = d;
      break;
    }
    if (used != std::min(domain, gpus))
      cluster.assumed.push_back(
          fmt::format("nvlink_domain_gpus: {} of {} used in each, so that {} GPUs fill them evenly",
                      used, domain, gpus));
    cluster.nvlink_domain_gpus = used;
  }
  measure_degraded(cluster);
  return cluster;
}

Result<std::vector<Cluster>> all_clusters() {
  std::vector<Cluster> out;
  for (const auto& path : files_in(folder(), ".yaml")) {
    MESHPLAN_TRY(Cluster cluster, read_cluster(path));
    out.push_back(std::move(cluster));
  }
  return out;
}

}  // namespace meshplan
