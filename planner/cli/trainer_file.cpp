// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/trainer_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "topologies/base/files.hpp"

namespace meshplan::cli {
namespace {

std::string known_trainers() {
  std::vector<std::string> names;
  for (const launch::TrainerFiles* each : launch::trainer_files()) names.emplace_back(each->id);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

void add_trainer_file_flags(CLI::App& app, TrainerFileFlags& flags) {
  app.add_option("FILE", flags.file, "the trainer's file");
  const auto text = [&](const char* name, std::string& to, const std::string& about) {
    app.add_option(name, to, about);
  };
  text("--trainer", flags.trainer, "whose file: " + known_trainers());
  text("--trainer-version", flags.version, "release of the trainer; else the newest known");
  text("--model", flags.model, "model, where the file does not hold it");
  text("--cluster", flags.cluster, "machine: bundled name, path, or NODESxGPUS_PER_NODExGPU");
  text("--seq", flags.sequence, "tokens a sequence, where the file does not say it");
  text("--global-batch", flags.global_batch, "sequences a step, where the file does not say it");
  text("--micro-batch", flags.micro_batch, "sequences a micro-batch, the same");
  text("--recompute", flags.recompute, "none, selective or full, the same");
  text("--entry", flags.entry, "of a Python file with several configurations: the function");
  app.add_flag("--json", flags.json, "one JSON document on standard output");
}

Result<TrainerFile> read_trainer_file(const TrainerFileFlags& flags) {
  if (flags.file.empty())
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "FILE is missing",
                      .hint = "--trainer T FILE; trainers: " + known_trainers()};
  if (flags.trainer.empty())
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = "whose file is it?",
                      .where = "--trainer",
                      .hint = known_trainers()};
  TrainerFile out;
  MESHPLAN_TRY(out.trainer, launch::find_trainer_files(flags.trainer));
  MESHPLAN_TRY(out.version, launch::version_of(*out.trainer, flags.version));
  launch::Given given;
  MESHPLAN_TRY(given.trainer, find_trainer(out.trainer->plans));
  given.entry = flags.entry;
  if (!flags.model.empty()) {
    MESHPLAN_TRY(given.model, find_model(flags.model));
  }
  if (!flags.cluster.empty()) {
    MESHPLAN_TRY(out.cluster, find_cluster(flags.cluster));
    given.nodes = out.cluster->nodes;
    given.gpus_per_node = out.cluster->gpus_per_node;
    given.compute_capability = out.cluster->gpu.compute_capability;
  }
  if (!flags.sequence.empty()) {
    MESHPLAN_TRY(given.sequence, whole_number(flags.sequence, "--seq"));
  }
  if (!flags.global_batch.empty()) {
    MESHPLAN_TRY(given.global_sequences, whole_number(flags.global_batch, "--global-batch"));
  }
  if (!flags.micro_batch.empty()) {
    MESHPLAN_TRY(const int64_t size, whole_number(flags.micro_batch, "--micro-batch"));
    given.micro_batch = static_cast<int>(size);
  }
  if (!flags.recompute.empty()) {
    auto kind = recompute_from(flags.recompute);
    if (!kind.ok()) return at(kind.error(), "--recompute");
    given.recompute = kind.value();
  }
  MESHPLAN_TRY(const std::string text, read_file(flags.file));
  MESHPLAN_TRY(out.checked, launch::check(*out.trainer, text, flags.file, given, out.version));
  return out;
}

}  // namespace meshplan::cli
