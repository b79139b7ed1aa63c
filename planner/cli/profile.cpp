// SPDX-License-Identifier: Apache-2.0
// meshplan profile: what does this device really do?
#include <fmt/format.h>

#include "planner/cli/parse.hpp"
#include "planner/cli/progress.hpp"
#include "profiler/measure/compare.hpp"
#include "profiler/measure/cpu.hpp"
#include "profiler/measure/cuda.hpp"
#include "topologies/base/files.hpp"

namespace meshplan::cli {

namespace {

int compare_files(const Arguments& arguments) {
  CLI::App app(
      "Compares two profiles, kernel by kernel, at the sizes that were measured in the first.",
      "meshplan profile compare");
  std::string a, b;
  bool json = false;
  app.add_option("A", a, "profile")->required();
  app.add_option("B", b, "profile")->required();
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(const CpuProfile first, read_cpu_profile(a), json);
  MESHPLAN_CLI_TRY(const CpuProfile second, read_cpu_profile(b), json);
  const std::vector<ProfileDifference> differences = compare_profiles(first, second);
  if (json) {
    Json kernels = Json::array();
    for (const ProfileDifference& one : differences) {
      kernels.push_back({{"ranks", one.ranks},
                         {"kernel", one.kernel},
                         {"points", one.points},
                         {"median_ratio", one.median},
                         {"low_ratio", one.low},
                         {"high_ratio", one.high}});
    }
    print(Json{{"schema", "meshplan.profile-compare/1"}, {"a", a}, {"b", b}, {"kernels", kernels}});
    return 0;
  }
  print(fmt::format("time in {} over time in {}\n{:>5}  {:<22} {:>6}  {:>7}  {:>7} .. {}\n", b, a,
                    "ranks", "kernel", "points", "median", "least", "most"));
  for (const ProfileDifference& one : differences) {
    print(one.points == 0
              ? fmt::format("{:>5}  {:<22} only in one of them\n", one.ranks, one.kernel)
              : fmt::format("{:>5}  {:<22} {:>6}  {:>7.3f}  {:>7.3f} .. {:.3f}\n", one.ranks,
                            one.kernel, one.points, one.median, one.low, one.high));
  }
  return 0;
}

}  // namespace

int run_profile(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "compare") {
    return compare_files({arguments.begin() + 1, arguments.end()});
  }
  if (!arguments.empty() && arguments.front() == "import") {
    return run_profile_import({arguments.begin() + 1, arguments.end()});
  }
  CLI::App app(
      "Times the executor's kernels and the collectives between its ranks on this computer and\n"
      "writes them as a profile: about a minute. It should have nothing else to do.\n\n"
      "  meshplan profile --device cpu --out cpu.yaml\n"
      "  meshplan profile --device cuda --quick -o gpu.yaml\n"
      "  meshplan profile compare cpu.yaml other.yaml\n"
      "  meshplan profile import nccl-tests.json --into gpu.yaml -o gpu.yaml\n",
      "meshplan profile");
  std::string device = "cpu", out;
  CpuProfileOptions options;
  CudaProfileOptions gpu;
  bool json = false, coarse = false;
  app.add_option("--device", device, "cpu or cuda");
  app.add_option("-o,--out", out, "file to write; else standard output");
  app.add_option("--ranks", options.ranks, "numbers of ranks at work at the same time (1,2)")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds-per-point", options.seconds_per_point, "of measuring (0.02)")
      ->check(CLI::PositiveNumber);
  app.add_option("--folder", options.folder,
                 "where partitions of graphs are written; else the temporary one");
  app.add_flag("--coarse", coarse, "small sizes only, in a second: to try things out");
  app.add_flag("--only-graphs", options.only_graphs, "of a CPU: what graph workloads use");
  app.add_flag("--quick", gpu.quick, "of a GPU: a coarse grid");
  app.add_option("--budget-seconds", gpu.budget_s, "of a GPU: begin no point after this (180)")
      ->check(CLI::PositiveNumber);
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  if (coarse) {
    options.seconds_per_point = 1e-4;
    options.largest_flops = 1e7;
    options.largest_elements = 1 << 15;
  }
  if (device != "cpu" && device != "cuda") {
    return fail({.kind = ErrorKind::usage,
                 .message = "no such device",
                 .where = "--device",
                 .value = device,
                 .hint = "cpu or cuda"},
                json);
  }
  auto measured = [&] {
    Progress progress("measuring");
    gpu.progress = [&](const std::string& what) { progress.say("measuring " + what); };
    return device == "cuda" ? profile_cuda(gpu) : profile_cpu(options);
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
               {"device", profile.device},
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
