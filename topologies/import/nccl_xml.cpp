// SPDX-License-Identifier: Apache-2.0
// NCCL_TOPO_DUMP_FILE: system > cpu > pci > gpu > nvlink, and pci > nic > net. Only tags and
// attributes carry facts, so a scanner of tags is all that is needed.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "topologies/import/formats.hpp"

namespace meshplan {
namespace {

struct Tag {
  std::string name;
  bool closing = false, empty = false;
  std::map<std::string, std::string> attributes;
  int line = 1;
  int64_t number(const char* key) const {
    const auto at = attributes.find(key);
    return at == attributes.end() ? 0 : std::strtoll(at->second.c_str(), nullptr, 0);
  }
  std::string text(const char* key) const {
    const auto at = attributes.find(key);
    return at == attributes.end() ? "" : at->second;
  }
};

Result<std::vector<Tag>> tags_of(const std::string& text, const std::string& name) {
  std::vector<Tag> out;
  int line = 1;
  size_t counted = 0;
  for (size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at)) {
    line += static_cast<int>(std::count(text.begin() + static_cast<long>(counted),
                                        text.begin() + static_cast<long>(at), '\n'));
    counted = at;
    const bool comment = text.compare(at, 4, "<!--") == 0;
    const size_t end = comment ? text.find("-->", at) : text.find('>', at);
    if (end == std::string::npos)
      return Diagnostic{ErrorKind::input,
                        "a tag does not end",
                        fmt::format("{}:{}", name, line),
                        "",
                        "",
                        "the file may be truncated"};
    std::string inside = text.substr(at + 1, end - at - 1);
    at = end;
    if (comment || inside.empty() || inside[0] == '?' || inside[0] == '!') continue;
    Tag tag;
    tag.line = line;
    tag.closing = inside[0] == '/';
    if (tag.closing) inside.erase(0, 1);
    tag.empty = !inside.empty() && inside.back() == '/';
    const size_t space = inside.find_first_of(" \t\r\n/");
    tag.name = inside.substr(0, space);
    for (size_t key = space; key != std::string::npos && key < inside.size();) {
      key = inside.find_first_not_of(" \t\r\n/", key);
      const size_t equals = inside.find("=\"", key);
      if (key == std::string::npos || equals == std::string::npos) break;
      const size_t close = inside.find('"', equals + 2);
      if (close == std::string::npos) break;
      tag.attributes[inside.substr(key, equals - key)] =
          inside.substr(equals + 2, close - equals - 2);
      key = close + 1;
    }
    out.push_back(std::move(tag));
  }
  return out;
}

const char* gpu_of(int64_t sm) {
  switch (sm) {
    case 70:
      return "V100";
    case 80:
      return "A100";
    case 89:
      return "L40S";
    case 90:
      return "H100";
    case 100:
      return "B200";
    case 103:
      return "B300";
    default:
      return "";
  }
}

}  // namespace

Result<Imported> import_nccl_xml(const std::string& text, const std::string& name,
                                 const ImportHints& hints) {
  MESHPLAN_TRY(const std::vector<Tag> tags, tags_of(text, name));
  NodeFacts facts;
  std::vector<std::string> open, bus;  // enclosing elements and the bus ids of enclosing pci
  std::map<std::string, size_t> gpu_at;
  struct Link {
    size_t gpu;
    std::string target;
    int64_t count;
  };
  std::vector<Link> links;
  std::vector<int64_t> to_switch;
  int64_t sm = 0, best_speed = 0;
  for (const Tag& tag : tags) {
    if (tag.closing) {
      if (open.empty() || open.back() != tag.name)
        return Diagnostic{ErrorKind::input, fmt::format("'</{}>' closes nothing", tag.name),
                          fmt::format("{}:{}", name, tag.line)};
      if (tag.name == "pci") bus.pop_back();
      open.pop_back();
      continue;
    }
    if (tag.name == "gpu" && !bus.empty()) {
      gpu_at[bus.back()] = static_cast<size_t>(facts.gpus++);
      to_switch.push_back(0);
      sm = tag.number("sm");
    } else if (tag.name == "nvlink" && facts.gpus > 0) {
      const auto last = static_cast<size_t>(facts.gpus - 1);
      // PCI class 0x0680: bridge, the NVSwitch.
      if (tag.text("tclass").rfind("0x0680", 0) == 0)
        to_switch[last] += tag.number("count");
      else
        links.push_back({last, tag.text("target"), tag.number("count")});
    } else if (tag.name == "net") {
      // The fastest ones carry the GPUs' traffic; slower ones are for management.
      const int64_t speed = tag.number("speed");
      if (speed > best_speed) facts.nics = 0;
      best_speed = std::max(best_speed, speed);
      if (speed == best_speed && speed > 0) ++facts.nics;
    }
    if (tag.empty) continue;
    open.push_back(tag.name);
    if (tag.name == "pci") bus.push_back(tag.text("busid"));
  }
  if (!open.empty())
    return Diagnostic{
        ErrorKind::input,           fmt::format("'<{}>' is not closed", open.back()), name, "", "",
        "the file may be truncated"};
  if (facts.gpus == 0)
    return Diagnostic{ErrorKind::input,
                      "no gpu element found",
                      name,
                      "",
                      "",
                      "write the file with NCCL_TOPO_DUMP_FILE on a node with GPUs"};
  const auto count = static_cast<size_t>(facts.gpus);
  facts.links.assign(count, std::vector<int64_t>(count, 0));
  for (const Link& link : links)
    if (const auto at = gpu_at.find(link.target); at != gpu_at.end())
      facts.links[link.gpu][at->second] += link.count;
  facts.switch_links = *std::min_element(to_switch.begin(), to_switch.end());
  facts.nic_bytes_per_s = static_cast<double>(best_speed) * 1e6 / 8;
  const std::string gpu_name = hints.gpu.empty() ? gpu_of(sm) : hints.gpu;
  if (gpu_name.empty())
    return Diagnostic{ErrorKind::usage, fmt::format("no bundled GPU for sm {}", sm), name, "", "",
                      "add --gpu"};
  MESHPLAN_TRY(const Gpu gpu, find_gpu(gpu_name));
  MESHPLAN_TRY(Imported out, import_node(facts, gpu, name, hints));
  out.kind = "NCCL topology";
  if (hints.gpu.empty())
    out.cluster.assumed.push_back(
        fmt::format("gpu: {}, the file says only sm {} (other variants: --gpu)", gpu.id, sm));
  return out;
}

}  // namespace meshplan
