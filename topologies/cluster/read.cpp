// SPDX-License-Identifier: Apache-2.0
// Reading of cluster files. A bundled file states every key; a user's file may leave out what the
// bundled cluster of its GPU (or of its `base`) has, and each such key is noted in `assumed`.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"
#include "topologies/cluster/cluster.hpp"
#include "topologies/cluster/shape.hpp"

namespace meshplan {
namespace {

constexpr double kGiga = 1e9;
constexpr double kMicro = 1e-6;
constexpr int64_t kMost = 10'000'000;  // of anything that is counted

NodeLink node_link_of(const std::string& text) {
  if (text == "nvswitch") return NodeLink::nvswitch;
  return text == "pcie" ? NodeLink::pcie : NodeLink::nvlink_mesh;
}

int64_t count(MapReader& in, const std::string& key, int64_t least, std::optional<int64_t> base) {
  const int64_t value = base ? in.integer(key, *base) : in.integer(key);
  if (value < least && in.has(key)) in.problem(key, fmt::format("must be {} or more", least));
  if (value > kMost) in.problem(key, fmt::format("must be at most {}", kMost));
  return value;
}

Status read_tiers(MapReader& in, std::vector<FabricTier>& out) {
  out.clear();
  int64_t below = 1;
  for (MapReader& tier : in.maps("tiers")) {
    FabricTier next;
    next.name = tier.text("name");
    next.nodes = count(tier, "nodes", 0, std::nullopt);
    next.oversubscription = tier.positive("oversubscription", 1);
    if (next.oversubscription < 1)
      tier.problem("oversubscription", "must be 1 or more",
                   "NIC rate of a unit below over its uplink rate; 1 is full bisection");
    next.latency_s = tier.number("latency_us") * kMicro;
    if (!(next.latency_s >= 0 && std::isfinite(next.latency_s)))
      tier.problem("latency_us", "must be zero or more");
    if (below == 0)
      tier.problem("name", "the tier below already joins all nodes");
    else if (next.nodes % below != 0)
      tier.problem("nodes", fmt::format("must be a multiple of the tier below ({})", below));
    below = next.nodes;
    MESHPLAN_CHECK(tier.finish());
    out.push_back(next);
  }
  if (!out.empty()) out.back().nodes = 0;  // what is above the last switch is not modelled
  return Done{};
}

/// degraded: [{tier: node | <name of a tier>, unit: 3, share: 0.5}]
Status read_degraded(MapReader& in, Cluster& out) {
  std::vector<std::string> names = {"node"};
  for (const FabricTier& tier : out.tiers) names.push_back(tier.name);
  if (!out.tiers.empty()) names.pop_back();  // the last tier has no uplink
  out.degraded.clear();
  for (MapReader& part : in.maps("degraded")) {
    Degraded next;
    const std::string name = part.choice("tier", names);
    next.tier = static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin()) - 1;
    next.unit = count(part, "unit", 0, std::nullopt);
    next.share = part.positive("share");
    if (next.share > 1) part.problem("share", "must be at most 1");
    MESHPLAN_CHECK(part.finish());
    out.degraded.push_back(next);
  }
  return Done{};
}

Status read_host(MapReader host, bool complete, Host& out) {
  const auto positive = [&](const char* key, double fallback) {
    return complete ? host.positive(key) : host.positive(key, fallback);
  };
  out.cpu_cores = static_cast<int>(positive("cpu_cores", out.cpu_cores));
  out.memory_bytes = static_cast<int64_t>(
      std::llround(positive("memory_gb", static_cast<double>(out.memory_bytes) / kGiga) * kGiga));
  out.memory_bytes_per_s = positive("memory_gb_per_s", out.memory_bytes_per_s / kGiga) * kGiga;
  out.power_w = positive("power_w", out.power_w);
  return host.finish();
}

/// A mesh whose file lists no rates is a full one: equal links to each other GPU.
void fill_mesh(Cluster& out) {
  if (out.node_link != NodeLink::nvlink_mesh || !out.mesh_bytes_per_s.empty()) return;
  const auto others = static_cast<double>(out.gpus_per_node - 1);
  for (int64_t ranks = 2; ranks <= out.gpus_per_node; ++ranks)
    out.mesh_bytes_per_s.push_back(out.intra_bytes_per_s * static_cast<double>(ranks - 1) / others);
}

/// Rules between keys.
void check(MapReader& in, const Cluster& out) {
  if (out.nvlink_domain_gpus > 1 && out.node_link == NodeLink::pcie)
    in.problem("nvlink_domain_gpus", "node_link pcie has no NVLink domain", "1");
  if (out.nvlink_domain_gpus > 1 && out.nvlink_domain_gpus % out.gpus_per_node != 0)
    in.problem("nvlink_domain_gpus",
               fmt::format("must be 1 or a multiple of gpus_per_node ({})", out.gpus_per_node));
  if (out.node_link != NodeLink::pcie && out.gpu.nvlink_bytes_per_s == 0)
    in.problem("node_link", fmt::format("{} has no NVLink", out.gpu.name), "node_link: pcie");
  if (out.nodes > 1 && out.tiers.empty())
    in.problem("tiers", "several nodes need at least one tier of switches");
}

/// `base` null: a bundled file, which states everything.
Result<Cluster> read(MapReader& in, const Cluster* base) {
  Cluster out = base != nullptr ? *base : Cluster{};
  const bool complete = base == nullptr;
  const auto otherwise = [&](int64_t value) {
    return complete ? std::nullopt : std::optional<int64_t>(value);
  };
  const auto unstated = [&](const char* key) {
    if (!complete && !in.has(key))
      out.assumed.push_back(fmt::format("{}: not stated, as {}", key, base->id));
    return !complete && !in.has(key);
  };
  if (complete) {
    MESHPLAN_TRY(out.gpu, find_gpu(in.text("gpu")));
  }
  if (!complete) {
    out.source.clear();
    out.assumed.clear();
  }
  out.id = in.text("id", out.id);
  out.name = in.text("name", out.id);
  out.nodes = count(in, "nodes", 1, std::nullopt);
  out.gpus_per_node = count(in, "gpus_per_node", 1, otherwise(out.gpus_per_node));
  const bool other_link = in.has("node_link");
  if (!unstated("node_link"))
    out.node_link = node_link_of(in.choice("node_link", {"nvswitch", "nvlink_mesh", "pcie"}));
  const bool nvlink = out.node_link != NodeLink::pcie;
  const int64_t domain = complete && nvlink ? out.gpus_per_node : out.nvlink_domain_gpus;
  out.nvlink_domain_gpus = count(in, "nvlink_domain_gpus", 1,
                                 otherwise(other_link ? (nvlink ? out.gpus_per_node : 1) : domain));
  if (complete || other_link)
    out.intra_bytes_per_s = nvlink ? out.gpu.nvlink_bytes_per_s : out.gpu.pcie_bytes_per_s;
  out.intra_bytes_per_s =
      in.positive("intra_gb_per_s_per_direction", out.intra_bytes_per_s / kGiga) * kGiga;
  if (other_link || in.has("mesh_gb_per_s_by_ranks")) {
    out.mesh_bytes_per_s.clear();
    for (double rate : in.numbers("mesh_gb_per_s_by_ranks")) {
      if (!(rate > 0)) in.problem("mesh_gb_per_s_by_ranks", "rates must be greater than zero");
      out.mesh_bytes_per_s.push_back(rate * kGiga);
    }
  }
  if (out.gpus_per_node < 1 || out.nodes < 1 || out.gpus() > kMost) {
    in.problem("nodes", fmt::format("a cluster has 1 to {} GPUs", kMost));
    MESHPLAN_CHECK(in.finish());
  }
  fill_mesh(out);
  if (!unstated("nics_per_node")) out.nics_per_node = count(in, "nics_per_node", 1, std::nullopt);
  if (!unstated("nic_gb_per_s_per_direction"))
    out.nic_bytes_per_s = in.positive("nic_gb_per_s_per_direction") * kGiga;
  if (!unstated("network"))
    out.network =
        in.choice("network", {"infiniband", "roce", "efa", "omni-path", "slingshot", "ethernet"});
  if (!unstated("rail_optimized")) out.rail_optimized = in.boolean("rail_optimized");
  if (!unstated("tiers")) MESHPLAN_CHECK(read_tiers(in, out.tiers));
  MESHPLAN_CHECK(read_degraded(in, out));
  unstated("host");
  MESHPLAN_CHECK(read_host(in.map("host"), complete, out.host));
  out.source = complete ? in.text("source") : in.text("source", "");
  for (auto& line : in.texts("assumed")) out.assumed.push_back(std::move(line));
  check(in, out);
  MESHPLAN_CHECK(in.finish());
  measure_degraded(out);
  return out;
}

Result<Cluster> read_user(MapReader in, const std::string& name) {
  Cluster base;
  const std::string gpu_text = in.text("gpu", "");
  const std::string base_text = in.text("base", "");
  if (gpu_text.empty() && base_text.empty()) {
    in.problem("gpu", "key 'gpu' is missing", "gpu: H100 (see `meshplan list gpus`)");
    MESHPLAN_CHECK(in.finish());
  }
  // A misspelt name inside a file is a fault of the file.
  const auto as_input = [&](Diagnostic error, const char* key) {
    error.kind = ErrorKind::input;
    return at(std::move(error), name + ": " + key);
  };
  if (!base_text.empty()) {
    auto found = find_cluster(base_text);
    if (!found.ok()) return as_input(std::move(found).error(), "base");
    base = *std::move(found);
  }
  const int64_t per_node = count(in, "gpus_per_node", 1, int64_t{0});
  if (!gpu_text.empty()) {
    auto gpu = find_gpu(gpu_text);
    if (!gpu.ok()) return as_input(std::move(gpu).error(), "gpu");
    if (base_text.empty()) {
      MESHPLAN_TRY(base, shaped_for(*gpu, per_node > 0 ? per_node : 0));
    } else {
      put_gpu(base, *gpu);
    }
  }
  if (!in.has("id")) base.name.clear();
  MESHPLAN_TRY(Cluster out, read(in, &base));
  if (!in.has("id")) out.id = std::filesystem::path(name).stem().string();
  if (!in.has("name")) out.name = out.id;
  // A stated domain stands; the bundled one is fitted to the number of nodes.
  const int64_t gpus = out.gpus();
  if (!in.has("nvlink_domain_gpus")) return with_gpus(std::move(out), gpus);
  return out;
}

}  // namespace

Result<Cluster> read_cluster(const std::string& path) {
  MESHPLAN_TRY(MapReader in, MapReader::open(path));
  const bool bundled = path.rfind(data_root() + "/topologies/data/clusters/", 0) == 0;
  if (bundled) return read(in, nullptr);
  return read_user(std::move(in), path);
}

Result<Cluster> parse_cluster(const std::string& text, const std::string& name) {
  MESHPLAN_TRY(MapReader in, MapReader::parse(text, name));
  return read_user(std::move(in), name);
}

}  // namespace meshplan
