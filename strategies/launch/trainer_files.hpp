// SPDX-License-Identifier: Apache-2.0
// How does a trainer take a plan: which file, in which release, by which rules, started how?
//
// One TrainerFiles a trainer, in strategies/launch/<trainer>/: rules.cpp, write.cpp, read.cpp.
// What a trainer accepts as a plan stands in its data file (strategies/data/trainers) and is
// checked by strategies/rules; the rules here are those of the file's other keys, of keys against
// each other, and of the environment.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "strategies/launch/job.hpp"
#include "strategies/launch/settings.hpp"
#include "topologies/base/result.hpp"

namespace meshplan::launch {

/// A trainer's file, read.
struct Config {
  Settings settings;
  Job job;
  Version version;
  bool model_differs = false;        ///< from the one that was given beside the file
  std::vector<std::string> unknown;  ///< "model", "sequence", "batch", "gpus": nobody has said it
  std::vector<std::string> notes;    ///< what could not be said as a plan, or was assumed
  std::vector<Diagnostic> findings;  ///< values that cannot be read
  bool knows(const std::string& what) const;
};

/// Collects what a rule finds.
class Report {
 public:
  Report(const Settings& settings, std::string trainer, std::vector<Diagnostic>& findings)
      : settings_(settings), trainer_(std::move(trainer)), findings_(findings) {}
  void begin(const char* rule) { rule_ = rule; }
  /// `key` as in the file; the value is the file's unless given; nearest: legal values.
  void add(const std::string& key, const std::string& message, const std::string& nearest,
           std::string value = "");

 private:
  const Settings& settings_;
  std::string trainer_;
  std::vector<Diagnostic>& findings_;
  const char* rule_ = "";
};

struct ConfigRule {
  const char* id;
  const char* says;
  void (*check)(const Config& config, Report& report);
  bool trainer_refuses = true;  ///< false: the trainer takes it in silence, or with a warning
  Version since = {0, 0};
  Version until = {1 << 20, 0};  ///< first release without it
};

/// How a process per GPU comes to life.
struct Start {
  enum class Kind { torchrun, accelerate, mpi } kind = Kind::torchrun;
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> unset;  ///< variables that must not be set
  std::string source;              ///< shell file to read first
  std::string program;             ///< what follows the launcher's own options
  std::vector<std::string> needs;  ///< for the reader of the README: what must be there
};

struct LaunchFile {
  std::string name;
  std::string text;
  bool executable = false;
};

struct TrainerFiles {
  const char* id;
  const char* name;
  const char* plans;              ///< id of the trainer data file whose rules hold
  const char* file;               ///< name of the configuration file, see file_of
  std::vector<Version> versions;  ///< newest first
  /// "--tp" and the key that says it: for messages and the README's table.
  std::vector<std::pair<const char*, const char*>> knobs;
  std::vector<ConfigRule> rules;
  /// Knobs that cannot be said, and what the trainer does instead.
  std::vector<std::pair<const char*, const char*>> limits;
  /// The configuration file. Error (no_plan): a part of the job that it has no words for. Null,
  /// and read too: the plan file is the configuration.
  Result<std::string> (*write)(const Job& job, Version version);
  Start (*start)(const Job& job, Version version);
  /// Error (input): not a file of that kind.
  Result<Config> (*read)(const std::string& text, const std::string& name, const Given& given,
                         Version version);
  /// Where the name depends on the release; may be null.
  const char* (*file_of)(Version version) = nullptr;
  /// Files beside the configuration; may be null.
  std::vector<LaunchFile> (*others)(const Job& job, Version version) = nullptr;
  const char* file_name(Version version) const {
    return file_of != nullptr ? file_of(version) : file;
  }
};

/// Sorted by id.
const std::vector<const TrainerFiles*>& trainer_files();

/// By id, by the id of its data file, or by an alias of that. ErrorKind::usage otherwise.
Result<const TrainerFiles*> find_trainer_files(const std::string& name);

/// "0.20" of this trainer; empty: the newest. ErrorKind::usage with the known ones otherwise.
Result<Version> version_of(const TrainerFiles& trainer, const std::string& text);

}  // namespace meshplan::launch
