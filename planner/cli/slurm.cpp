// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/slurm.hpp"

#include <array>
#include <cstdio>
#include <memory>
#include <regex>

namespace meshplan::cli {
namespace {

Result<std::string> output_of(const char* command) {
  const auto close = [](FILE* pipe) { pclose(pipe); };
  std::unique_ptr<FILE, decltype(close)> pipe(popen(command, "r"), close);
  std::string out;
  std::array<char, 4096> buffer;
  if (pipe)
    while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe.get()))
      out.append(buffer.data(), n);
  if (!out.empty()) return out;
  return Diagnostic{.kind = ErrorKind::missing,
                    .message = "scontrol is not there, or says nothing",
                    .value = command,
                    .hint = "run it on a node of a Slurm cluster, or give its topology.conf"};
}

}  // namespace

Result<std::string> slurm_topology(ImportHints& hints) {
  MESHPLAN_TRY(std::string topology, output_of("scontrol show topology 2>/dev/null"));
  if (hints.gpu.empty() || hints.gpus_per_node == 0) {
    MESHPLAN_TRY(const std::string nodes, output_of("scontrol --oneliner show node 2>/dev/null"));
    // Gres=gpu:h100:8 or gpu:8, with sockets behind it in brackets.
    const std::regex gres(R"(Gres=\S*?gpu:(?:([A-Za-z][\w.-]*):)?(\d+))");
    std::smatch found;
    if (std::regex_search(nodes, found, gres)) {
      if (hints.gpu.empty()) hints.gpu = found[1].str();
      if (hints.gpus_per_node == 0) hints.gpus_per_node = std::stoll(found[2].str());
    }
  }
  return topology;
}

}  // namespace meshplan::cli
