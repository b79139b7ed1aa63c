// SPDX-License-Identifier: Apache-2.0
// meshplan profile: what does this device really do?
#include <fmt/format.h>

#include "planner/cli/parse.hpp"
#include "planner/cli/progress.hpp"
#include "profiler/comm/launched_world.hpp"
#include "profiler/comm/mpi_world.hpp"
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
                         {"nodes", one.nodes},
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
    const std::string kernel =
        one.nodes > 1 ? fmt::format("{}, {} nodes", one.kernel, one.nodes) : one.kernel;
    print(one.points == 0
              ? fmt::format("{:>5}  {:<22} only in one of them\n", one.ranks, kernel)
              : fmt::format("{:>5}  {:<22} {:>6}  {:>7.3f}  {:>7.3f} .. {:.3f}\n", one.ranks,
                            kernel, one.points, one.median, one.low, one.high));
  }
  return 0;
}

int profile_device(const Arguments& arguments) {
  CLI::App app(
      "Times the executor's kernels and the collectives between its ranks on this computer and\n"
      "writes them as a profile: about a minute. It should have nothing else to do.\n\n"
      "  meshplan profile --device cpu --out cpu.yaml\n"
      "  meshplan profile --device cuda --quick -o gpu.yaml\n"
      "  torchrun --no-python --nproc-per-node 8 meshplan profile --launched --device cuda -o "
      "node.yaml\n"
      "  meshplan profile compare cpu.yaml other.yaml\n"
      "  meshplan profile import nccl-tests.json --into gpu.yaml -o gpu.yaml\n",
      "meshplan profile");
  std::string device = "cpu", out;
  CpuProfileOptions options;
  CudaProfileOptions gpu;
  bool json = false, coarse = false, launched = false;
  double budget_s = 0, tolerance = -1;
  app.add_option("--device", device, "cpu or cuda");
  app.add_option("-o,--out", out, "file to write; else standard output");
  app.add_option("--ranks", options.ranks, "numbers of ranks at work at the same time (1,2)")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds-per-point", options.seconds_per_point, "of measuring (0.02)")
      ->check(CLI::PositiveNumber);
  app.add_option("--folder", options.folder, "whose storage is measured; else the temporary one");
  app.add_flag("--coarse", coarse, "small sizes only, in a second: to try things out");
  app.add_flag(
      "--median", options.median,
      "of a CPU: the median of five timings, not the shortest; for one that does more than this");
  app.add_flag("--only-graphs", options.only_graphs, "of a CPU: what graph workloads use");
  app.add_flag("--quick", gpu.quick, "of a GPU: a coarse grid");
  app.add_option("--budget-seconds", budget_s,
                 "begin no point after this (180 on a GPU, 300 on several; else all are measured)")
      ->check(CLI::PositiveNumber);
  app.add_option(
         "--tolerance", tolerance,
         "leave out sizes that others predict as well as this (0.03 on a GPU; else 0: none)")
      ->check(CLI::Range(0.0, 1.0));
  app.add_flag("--launched", launched,
               "this is one of the ranks that torchrun, srun or mpirun started, each with a GPU");
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
  gpu.folder = options.folder;
  options.budget_s = budget_s;
  gpu.budget_s = budget_s > 0 ? budget_s : launched ? 300 : gpu.budget_s;
  if (tolerance >= 0) options.tolerance = gpu.tolerance = tolerance;
  bool first = true;
  auto measured = [&]() -> Result<CpuProfile> {
    Progress progress("measuring");
    options.progress =
        gpu.progress = [&](const std::string& what) { progress.say("measuring " + what); };
    const auto measure = [&](World* world) {
      return device == "cuda" ? profile_cuda(gpu, world) : profile_cpu(options, world);
    };
    if (!launched) return measure(nullptr);
    CpuProfile found;
    const Status status = run_launched_rank({.timeout_s = 600}, [&](World& world) -> Status {
      first = world.rank() == 0;
      MESHPLAN_TRY(found, measure(&world));
      return Done{};
    });
    if (!status.ok()) return status.error();
    return found;
  }();
  if (!measured.ok()) return first ? fail(measured.error(), json) : 1;
  if (!first) return 0;  // rank 0 says it
  const CpuProfile profile = std::move(measured).value();
  const std::string text = to_yaml(profile);
  if (!out.empty()) {
    const Status written = write_file(out, text);
    if (!written.ok()) return fail(written.error(), json);
  }
  if (json) {
    Json ranks = Json::array();
    for (const CpuTables& tables : profile.tables) {
      ranks.push_back(
          {{"ranks", tables.ranks}, {"nodes", tables.nodes}, {"kernels", tables.kernels.size()}});
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

}  // namespace

int run_profile(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "compare") {
    return compare_files({arguments.begin() + 1, arguments.end()});
  }
  if (!arguments.empty() && arguments.front() == "import") {
    return run_profile_import({arguments.begin() + 1, arguments.end()});
  }
  const int code = profile_device(arguments);
  finish_mpi(code);  // if --launched began it
  return code;
}

}  // namespace meshplan::cli
