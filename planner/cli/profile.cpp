// SPDX-License-Identifier: Apache-2.0
// meshplan profile: what does this device really do?
#include <fmt/format.h>

#include "planner/cli/parse.hpp"
#include "planner/cli/progress.hpp"
#include "profiler/measure/cpu.hpp"
#include "topologies/base/files.hpp"

namespace meshplan::cli {

int run_profile(const Arguments& arguments) {
  CLI::App app(
      "Times the executor's kernels and the collectives between its ranks on this computer and\n"
      "writes them as a profile: about a minute. It should have nothing else to do.\n\n"
      "  meshplan profile --device cpu --out cpu.yaml\n",
      "meshplan profile");
  std::string device = "cpu", out;
  CpuProfileOptions options;
  bool json = false, coarse = false;
  app.add_option("--device", device, "cpu");
  app.add_option("--out", out, "file to write; else standard output");
  app.add_option("--ranks", options.ranks, "numbers of ranks at work at the same time (1,2)")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds-per-point", options.seconds_per_point, "of measuring (0.02)")
      ->check(CLI::PositiveNumber);
  app.add_flag("--coarse", coarse, "small sizes only, in a second: to try things out");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  if (coarse) {
    options.seconds_per_point = 1e-4;
    options.largest_flops = 1e7;
    options.largest_elements = 1 << 15;
  }
  if (device != "cpu") {
    return fail({.kind = device == "cuda" ? ErrorKind::missing : ErrorKind::usage,
                 .message = device == "cuda" ? "this build has no CUDA" : "no such device",
                 .where = "--device",
                 .value = device,
                 .hint = "cpu"},
                json);
  }
  auto measured = [&] {
    const Progress progress("measuring");
    return profile_cpu(options);
  }();
  MESHPLAN_CLI_TRY(const CpuProfile profile, std::move(measured), json);
  const std::string text = to_yaml(profile);
  if (!out.empty()) {
    const Status written = write_file(out, text);
    if (!written.ok()) return fail(written.error(), json);
  }
  if (json) {
    Json ranks = Json::array();
    for (const CpuTables& tables : profile.tables) {
      ranks.push_back({{"ranks", tables.ranks}, {"kernels", tables.kernels.size()}});
    }
    print(Json{{"schema", "meshplan.profile/1"},
               {"processor", profile.processor},
               {"cores", profile.cores},
               {"source", profile.source},
               {"tables", std::move(ranks)},
               {"file", out}});
  } else if (out.empty()) {
    print(text);
  } else {
    print(fmt::format("{}: {} ({} cores)\n", out, profile.processor, profile.cores));
  }
  return 0;
}

}  // namespace meshplan::cli
