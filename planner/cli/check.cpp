// SPDX-License-Identifier: Apache-2.0
// meshplan check: which rules of its trainer does a configuration break?
#include <fmt/format.h>

#include "planner/cli/trainer_file.hpp"
#include "planner/report/format.hpp"

namespace meshplan::cli {
namespace {

std::string text_of(const Diagnostic& finding) {
  std::string out = fmt::format("{}\n  {}\n", finding.where, finding.message);
  const auto line = [&](const char* label, const std::string& text) {
    if (!text.empty()) out += fmt::format("  {:<8}{}\n", label, text);
  };
  line("value", finding.value);
  line("rule", finding.rule);
  line("nearest", finding.hint);
  return out;
}

Json json_of(const Diagnostic& finding) {
  return {{"where", finding.where},
          {"message", finding.message},
          {"value", finding.value},
          {"rule", finding.rule},
          {"nearest", finding.hint}};
}

}  // namespace

int run_check(const Arguments& arguments) {
  CLI::App app(
      "Which rules of its trainer does a configuration break? All of them are named, with the\n"
      "value and the nearest legal one. Exit code 5 if there are any.\n\n"
      "  meshplan check --trainer megatron-lm flags.sh --cluster 64x8xH100\n"
      "  meshplan check --trainer deepspeed ds.json --model llama3-8b --cluster 8xH100 --seq "
      "8192\n",
      "meshplan check");
  TrainerFileFlags flags;
  add_trainer_file_flags(app, flags);
  MESHPLAN_CLI_PARSE(app, arguments);
  MESHPLAN_CLI_TRY(const TrainerFile file, read_trainer_file(flags), flags.json);
  const auto& findings = file.checked.findings;
  for (const auto& note : file.checked.config.notes) cli::note(note);
  for (const auto& skipped : file.checked.skipped) warn("not checked: " + skipped);
  const std::string trainer = fmt::format("{} {}", file.trainer->id, launch::to_text(file.version));
  if (flags.json) {
    Json list = Json::array();
    for (const Diagnostic& finding : findings) list.push_back(json_of(finding));
    print(Json{{"schema", "meshplan.check/1"},
               {"inputs",
                {{"file", flags.file},
                 {"trainer", file.trainer->id},
                 {"trainer_version", launch::to_text(file.version)}}},
               {"provenance", {{"tool", "meshplan"}, {"version", MESHPLAN_VERSION}}},
               {"findings", std::move(list)},
               {"not_checked", file.checked.skipped},
               {"notes", file.checked.config.notes}});
  } else {
    for (const Diagnostic& finding : findings) print(text_of(finding));
    print(findings.empty()
              ? fmt::format("{} follows the rules of {}\n", flags.file, trainer)
              : fmt::format("{} in {} for {}\n",
                            report::plural(static_cast<int64_t>(findings.size()), "finding"),
                            flags.file, trainer));
  }
  return findings.empty() ? 0 : static_cast<int>(ErrorKind::check);
}

}  // namespace meshplan::cli
