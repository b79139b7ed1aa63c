// SPDX-License-Identifier: Apache-2.0
// meshplan: finds the command, runs it, turns what escapes into an exit code.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <iostream>

#include "planner/cli/command.hpp"
#include "planner/cli/parse.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::cli {
namespace {

constexpr Command kCommands[] = {
    {"plan", "Which plan should I use? the best ones, with time, memory and reasons", run_plan},
    {"simulate", "What happens with exactly this plan? time, memory, timeline", run_simulate},
    {"explain", "What limits it, what would one other choice change, why not that one?",
     run_explain},
    {"compare", "Two plan files side by side", run_compare},
    {"scale", "What does the next GPU buy? best plans, power, money over GPUs", run_scale},
    {"size", "How few GPUs train it in that time?", run_size},
    {"launch", "How do I start it? files for the trainer, Slurm, torchrun or a shell", run_launch},
    {"check", "Which rules of its trainer does a configuration break?", run_check},
    {"import", "What do others' files say? configurations as plans, topologies as clusters",
     run_import},
    {"validate", "Does it hold in reality? predictions against published runs", run_validate},
    {"profile", "What does this device really do? times kernels, writes a profile", run_profile},
    {"list", "What do you know? models, gpus, clusters, trainers, schedules, rules", run_list},
    {"show", "What do you know of this one? every fact with unit and source", run_show},
};

std::string help() {
  std::string out =
      "meshplan: the best way to train a model on a number of GPUs.\n\n"
      "  meshplan plan llama3-405b 2048x8xH100 --seq 8192 --global-batch 2048\n"
      "  meshplan plan 70B 512xH100\n"
      "  meshplan plan path/to/config.json path/to/cluster.yaml\n\n"
      "commands (each has --help and --json)\n";
  for (const Command& command : kCommands)
    out += fmt::format("  {:<9} {}\n", command.name, command.question);
  out +=
      "\nexit codes\n"
      "  0 done   1 a bug of meshplan   2 wrong usage   3 understood, but no plan fits or is "
      "legal\n"
      "  4 an input file is missing or bad   5 a check failed   6 hardware or library absent\n";
  return out;
}

int dispatch(const Arguments& all) {
  if (all.empty()) {
    std::cerr << help();
    return static_cast<int>(ErrorKind::usage);
  }
  const std::string& word = all.front();
  if (word == "--help" || word == "-h" || word == "help") {
    print(help());
    return 0;
  }
  if (word == "--version") {
    print(std::string("meshplan ") + MESHPLAN_VERSION + "\n");
    return 0;
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    if (word == command.name) return command.run({all.begin() + 1, all.end()});
    names.emplace_back(command.name);
  }
  return fail({.kind = ErrorKind::usage,
               .message = word[0] == '-' ? "a command is expected before any flag"
                                         : "there is no such command",
               .value = word,
               .hint = suggest(word, names)},
              wants_json(all));
}

}  // namespace
}  // namespace meshplan::cli

int main(int argc, char** argv) {
  using namespace meshplan;
  const cli::Arguments arguments(argv + 1, argv + argc);
  try {
    return cli::dispatch(arguments);
  } catch (const std::exception& error) {
    return cli::fail(
        {.kind = ErrorKind::internal,
         .message = std::string("a bug of meshplan: ") + error.what(),
         .hint = std::string("please report the command line and version ") + MESHPLAN_VERSION},
        cli::wants_json(arguments));
  }
}
