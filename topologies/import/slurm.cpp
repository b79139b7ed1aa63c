// SPDX-License-Identifier: Apache-2.0
// Slurm's topology.conf: "SwitchName=s Nodes=list" or "Switches=list" (a tree, leaves to root), or
// "BlockName=b Nodes=list". Keys in any case, '#' starts a comment. LinkSpeed has no unit and Slurm
// does not use it, so bandwidths come from elsewhere.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "topologies/cluster/shape.hpp"
#include "topologies/import/formats.hpp"

namespace meshplan {
namespace {

constexpr size_t kMostNames = 1'000'000;

struct Switch {
  std::string name;
  std::vector<std::string> children;
  int64_t hosts = 0;
  int line = 0;
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// The largest size and, if they differ, a note: a cluster's tiers have units of one size.
int64_t common_size(const std::vector<int64_t>& sizes, const std::string& tier, Cluster& cluster) {
  const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
  if (*least != *most)
    cluster.assumed.push_back(
        fmt::format("tiers.{}: units of {} to {} taken as {}", tier, *least, *most, *most));
  return *most;
}

}  // namespace

Result<std::vector<std::string>> expand_hostlist(const std::string& text) {
  const auto fail = [&](const char* why) {
    return Diagnostic{ErrorKind::input, why, "host list", text, "", "e.g. node[1-32,40],login1"};
  };
  std::vector<std::string> out, current = {""};
  const auto flush = [&] {
    for (auto& name : current)
      if (!name.empty()) out.push_back(std::move(name));
    current = {""};
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      flush();
    } else if (text[i] == '[') {
      const size_t close = text.find(']', i);
      if (close == std::string::npos) return fail("'[' is not closed");
      std::istringstream ranges(text.substr(i + 1, close - i - 1));
      std::vector<std::string> values;
      for (std::string range; std::getline(ranges, range, ',');) {
        const size_t dash = range.find('-');
        const std::string from = range.substr(0, dash);
        const std::string to = dash == std::string::npos ? from : range.substr(dash + 1);
        const auto digits = [](const std::string& word) {
          return !word.empty() && word.size() < 10 &&
                 word.find_first_not_of("0123456789") == std::string::npos;
        };
        if (!digits(from) || !digits(to)) return fail("expected numbers or ranges in '[...]'");
        const int64_t begin = std::stoll(from), end = std::stoll(to);
        if (end < begin || end - begin >= static_cast<int64_t>(kMostNames))
          return fail("a range runs backwards or is too long");
        for (int64_t value = begin; value <= end; ++value)
          values.push_back(fmt::format("{:0{}}", value, from.size()));
      }
      if (values.empty()) return fail("'[]' is empty");
      if (current.size() * values.size() > kMostNames) return fail("more than a million names");
      std::vector<std::string> next;
      for (const auto& prefix : current)
        for (const auto& value : values) next.push_back(prefix + value);
      current = std::move(next);
      i = close;
    } else if (text[i] == ']') {
      return fail("']' closes nothing");
    } else {
      for (auto& name : current) name += text[i];
    }
    if (out.size() > kMostNames) return fail("more than a million names");
  }
  flush();
  return out;
}

Result<Imported> import_slurm(const std::string& text, const std::string& name,
                              const ImportHints& hints) {
  if (hints.gpu.empty())
    return Diagnostic{ErrorKind::usage,
                      "topology.conf does not name the GPU",
                      name,
                      "",
                      "",
                      "add --gpu, e.g. --gpu H100"};
  MESHPLAN_TRY(const Gpu gpu, find_gpu(hints.gpu));
  std::map<std::string, Switch> switches;
  std::vector<int64_t> blocks;
  std::istringstream in(text);
  int line_number = 0;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    const std::string where = fmt::format("{}:{}", name, line_number);
    line.erase(std::min(line.find('#'), line.size()));
    std::istringstream words(line);
    Switch entry;
    entry.line = line_number;
    bool block = false;
    for (std::string word; words >> word;) {
      const size_t equals = word.find('=');
      const std::string key = lower(word.substr(0, equals));
      const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
      if (key == "switchname" || key == "blockname") {
        entry.name = value;
        block = key == "blockname";
      } else if (key == "nodes" || key == "switches") {
        auto names = expand_hostlist(value);
        if (!names.ok()) return at(std::move(names).error(), where);
        if (key == "nodes") entry.hosts += static_cast<int64_t>(names->size());
        if (key == "switches") entry.children = *std::move(names);
      }
    }
    if (entry.name.empty()) continue;
    // `scontrol show topology` repeats at an upper switch the nodes of the lower ones.
    if (!entry.children.empty()) entry.hosts = 0;
    if (block)
      blocks.push_back(entry.hosts);
    else if (!switches.try_emplace(entry.name, entry).second)
      return Diagnostic{ErrorKind::input, fmt::format("switch '{}' stands twice", entry.name),
                        where};
  }

  // Height above the nodes and nodes below, for every switch.
  std::map<std::string, std::pair<int, int64_t>> done;
  Diagnostic broken;
  std::set<std::string> open;
  std::function<bool(const std::string&)> visit = [&](const std::string& at_name) {
    if (done.count(at_name) != 0) return true;
    const Switch& at_switch = switches.at(at_name);
    const std::string where = fmt::format("{}:{}", name, at_switch.line);
    if (!open.insert(at_name).second) {
      broken = {ErrorKind::input, "switches contain each other", where, at_name};
      return false;
    }
    int height = 0;
    int64_t hosts = at_switch.hosts;
    for (const auto& child : at_switch.children) {
      if (switches.count(child) == 0) {
        broken = {ErrorKind::input, fmt::format("switch '{}' is not defined", child), where,
                  at_name};
        return false;
      }
      if (!visit(child)) return false;
      height = std::max(height, done.at(child).first + 1);
      hosts += done.at(child).second;
    }
    done[at_name] = {height, hosts};
    return true;
  };
  for (const auto& [switch_name, entry] : switches)
    if (!visit(switch_name)) return broken;

  Imported out;
  out.kind = "Slurm topology.conf";
  MESHPLAN_TRY(out.cluster, shaped_for(gpu, hints.gpus_per_node));
  Cluster& cluster = out.cluster;
  const std::string bundled = cluster.id;
  const std::vector<FabricTier> model = cluster.tiers;
  cluster.id = cluster.name = std::filesystem::path(name).stem().string();
  cluster.assumed.clear();
  if (!blocks.empty()) {
    cluster.nodes = 0;
    for (int64_t hosts : blocks) cluster.nodes += hosts;
    const int64_t size = common_size(blocks, "block", cluster);
    out.found.push_back(fmt::format("{} blocks of {} nodes", blocks.size(), size));
    if (cluster.nvlink_domain_gpus > cluster.gpus_per_node)
      cluster.nvlink_domain_gpus = size * cluster.gpus_per_node;
    cluster.assumed.push_back(fmt::format("tiers: as {}", bundled));
  } else {
    std::map<int, std::vector<int64_t>> levels;
    for (const auto& [switch_name, state] : done) levels[state.first].push_back(state.second);
    cluster.nodes = 0;
    for (const auto& [switch_name, entry] : switches) cluster.nodes += entry.hosts;
    cluster.tiers.clear();
    int64_t below = 1;
    for (const auto& [height, sizes] : levels) {
      FabricTier tier;
      const auto like =
          static_cast<size_t>(std::min<int>(height, static_cast<int>(model.size()) - 1));
      tier.name = height == 0 ? "leaf" : height == 1 ? "spine" : fmt::format("core{}", height - 1);
      tier.latency_s = model[like].latency_s;
      const int64_t size = common_size(sizes, tier.name, cluster);
      tier.nodes = (size + below - 1) / below * below;
      below = tier.nodes;
      out.found.push_back(
          fmt::format("{}: {} switches of {} nodes", tier.name, sizes.size(), size));
      cluster.tiers.push_back(tier);
    }
    cluster.tiers.back().nodes = 0;
    cluster.rail_optimized = false;
    cluster.assumed.push_back("tiers.oversubscription: 1, the file has no bandwidths");
    cluster.assumed.push_back(fmt::format("tiers.latency_us: as {}", bundled));
  }
  if (hints.nic_bytes_per_s > 0) cluster.nic_bytes_per_s = hints.nic_bytes_per_s;
  for (const char* key : {"nics_per_node", "network", "host"})
    cluster.assumed.push_back(fmt::format("{}: as {}", key, bundled));
  if (hints.nic_bytes_per_s == 0)
    cluster.assumed.push_back(fmt::format("nic_gb_per_s_per_direction: {:g}, as {}",
                                          cluster.nic_bytes_per_s / 1e9, bundled));
  if (hints.gpus_per_node == 0)
    cluster.assumed.push_back(
        fmt::format("gpus_per_node: {}, as {}", cluster.gpus_per_node, bundled));
  if (cluster.nodes == 0)
    return Diagnostic{ErrorKind::input,
                      "no nodes found",
                      name,
                      "",
                      "",
                      "a line needs SwitchName= or BlockName= with Nodes="};
  return out;
}

}  // namespace meshplan
