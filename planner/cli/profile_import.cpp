// SPDX-License-Identifier: Apache-2.0
// meshplan profile import: what nccl-tests measured, as tables of a profile.
#include <fmt/format.h>

#include "planner/cli/parse.hpp"
#include "profiler/measure/nccl_tests.hpp"
#include "topologies/base/files.hpp"

namespace meshplan::cli {

int run_profile_import(const Arguments& arguments) {
  CLI::App app(
      "Turns results of nccl-tests (JSON files of -J, or what it printed) into tables of a\n"
      "profile, one per number of ranks.\n\n"
      "  all_reduce_perf -b 1K -e 1G -f 2 -g 8 -J reduce.json\n"
      "  meshplan profile import reduce.json gather.log --into gpu.yaml -o node.yaml\n",
      "meshplan profile import");
  std::vector<std::string> paths;
  std::string collective, into, out;
  bool json = false;
  app.add_option("FILE", paths, "results of nccl-tests")->required();
  app.add_option("--collective", collective, "where a file does not tell: all_reduce, ...");
  app.add_option("--into", into, "profile that gets the tables; else they stand alone");
  app.add_option("-o,--out", out, "file to write; else standard output");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);
  CpuProfile profile;
  profile.device = "cuda";
  if (!into.empty()) {
    MESHPLAN_CLI_TRY(profile, read_cpu_profile(into), json);
  }
  Json runs = Json::array();
  std::string names;
  for (const std::string& path : paths) {
    MESHPLAN_CLI_TRY(const std::string text, read_file(path), json);
    Result<NcclTestsRun> run = read_nccl_tests(text, collective);
    if (!run.ok()) {
      Diagnostic error = run.error();
      error.where = path;
      return fail(error, json);
    }
    if (profile.processor.empty()) profile.processor = run->gpu;
    if (const Status added = add_to_profile(*run, profile); !added.ok()) {
      return fail(added.error(), json);
    }
    names += (names.empty() ? "" : ", ") + path.substr(path.find_last_of('/') + 1);
    runs.push_back({{"file", path},
                    {"collective", name_of(run->op)},
                    {"ranks", run->ranks},
                    {"gpu", run->gpu},
                    {"sizes", run->seconds.size()}});
    if (!json) {
      note(fmt::format("{}: {} of {} ranks, {} sizes", path, name_of(run->op), run->ranks,
                       run->seconds.size()));
    }
  }
  const std::string imported = "nccl-tests: " + names;
  profile.source += (profile.source.empty() ? "" : "; ") + imported;
  const std::string text = to_yaml(profile);
  if (!out.empty()) {
    if (const Status written = write_file(out, text); !written.ok()) {
      return fail(written.error(), json);
    }
  }
  if (json) {
    print(Json{{"schema", "meshplan.profile-import/1"}, {"out", out}, {"runs", std::move(runs)}});
  } else if (out.empty()) {
    print(text);
  }
  return 0;
}

}  // namespace meshplan::cli
