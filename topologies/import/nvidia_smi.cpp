// SPDX-License-Identifier: Apache-2.0
// `nvidia-smi topo -m`: a header of devices, then one row a device with its relation to each other
// one: X, NV# (bonded NVLinks), PIX, PXB, PHB, NODE, SYS. Columns after "CPU" are affinities.
#include <fmt/format.h>

#include <cctype>
#include <sstream>

#include "topologies/import/formats.hpp"

namespace meshplan {
namespace {

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> out;
  for (std::string word; in >> word;) {
    // Underlined headers are copied with their escape sequences.
    for (size_t at = word.find('\x1b'); at != std::string::npos; at = word.find('\x1b')) {
      const size_t end = word.find('m', at);
      word.erase(at, end == std::string::npos ? end : end - at + 1);
    }
    if (!word.empty()) out.push_back(word);
  }
  return out;
}

bool is_gpu(const std::string& word) {
  return word.rfind("GPU", 0) == 0 && word.size() > 3 &&
         std::isdigit(static_cast<unsigned char>(word[3]));
}

/// Smaller is nearer; a NIC behind the same PCIe switch as a GPU serves it.
int distance(const std::string& relation) {
  if (relation == "PIX") return 0;
  if (relation == "PXB") return 1;
  if (relation == "PHB") return 2;
  if (relation == "NODE") return 3;
  return 4;
}

}  // namespace

Result<Imported> import_nvidia_smi(const std::string& text, const std::string& name,
                                   const ImportHints& hints) {
  if (hints.gpu.empty())
    return Diagnostic{ErrorKind::usage,
                      "the matrix does not name the GPU",
                      name,
                      "",
                      "",
                      "add --gpu, e.g. --gpu H100"};
  MESHPLAN_TRY(const Gpu gpu, find_gpu(hints.gpu));
  std::istringstream in(text);
  std::vector<std::string> devices;
  NodeFacts facts;
  std::vector<int> nearest_gpu;  // of each NIC
  int line_number = 0;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    const std::vector<std::string> words = words_of(line);
    if (words.empty()) continue;
    if (devices.empty()) {
      if (!is_gpu(words[0])) continue;
      for (const auto& word : words) {
        if (word == "CPU") break;
        devices.push_back(word);
        if (is_gpu(word)) ++facts.gpus;
      }
      nearest_gpu.assign(devices.size(), 4);
      continue;
    }
    if (!is_gpu(words[0])) continue;
    if (words.size() < devices.size() + 1)
      return Diagnostic{ErrorKind::input,
                        fmt::format("a row has {} columns where the header has {}",
                                    words.size() - 1, devices.size()),
                        fmt::format("{}:{}", name, line_number),
                        words[0],
                        "",
                        "paste the whole output; lines may have been wrapped or cut"};
    facts.links.emplace_back();
    for (size_t i = 0; i < devices.size(); ++i) {
      const std::string& cell = words[i + 1];
      if (!is_gpu(devices[i])) {
        nearest_gpu[i] = std::min(nearest_gpu[i], distance(cell));
        continue;
      }
      int64_t links = 0;
      if (cell.rfind("NV", 0) == 0 && cell.size() > 2 && cell.size() < 6)
        links = std::strtoll(cell.c_str() + 2, nullptr, 10);
      facts.links.back().push_back(links);
    }
  }
  if (static_cast<int64_t>(facts.links.size()) != facts.gpus)
    return Diagnostic{
        ErrorKind::input,
        fmt::format("{} GPU rows where the header has {} GPUs", facts.links.size(), facts.gpus),
        name,
        "",
        "",
        "paste the whole output of `nvidia-smi topo -m`"};
  // NICs for the GPUs' traffic stand behind their switches; the others serve host and storage.
  int best = 4;
  for (size_t i = 0; i < devices.size(); ++i)
    if (!is_gpu(devices[i])) best = std::min(best, nearest_gpu[i]);
  for (size_t i = 0; i < devices.size(); ++i)
    if (!is_gpu(devices[i]) && nearest_gpu[i] <= std::max(best, 1)) ++facts.nics;
  MESHPLAN_TRY(Imported out, import_node(facts, gpu, name, hints));
  out.kind = "nvidia-smi topo -m";
  return out;
}

}  // namespace meshplan
