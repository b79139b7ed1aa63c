// SPDX-License-Identifier: Apache-2.0
// Which files start this plan, what do they leave unsaid, and which rules does a file break?
#pragma once
#include <string>
#include <vector>

#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch {

/// A knob of the plan that the written file does not say.
struct Loss {
  std::string knob;     ///< "--layer-split"
  std::string wanted;   ///< as in the plan
  std::string written;  ///< what the trainer will do
  std::string why;
};

struct Written {
  std::vector<LaunchFile> files;  ///< without the plan file, which is the command's
  Plan plan;                      ///< what the trainer will run, read back from the file
  Trainer trainer;                ///< and how
  std::vector<Loss> losses;
};

/// Writes, reads back, compares. Errors: no_plan (a rule refuses the plan, or the trainer has no
/// words for the model); check (the file breaks a rule of its own trainer: a bug).
Result<Written> write(const TrainerFiles& trainer, const Job& job, Version version);

struct Checked {
  Config config;
  std::vector<Diagnostic> findings;  ///< every one; ErrorKind::check
  std::vector<std::string> skipped;  ///< what could not be checked, and what would have to be said
};

/// Everything that is wrong: unknown keys, types, choices, the trainer's rules, the plan's rules.
/// Errors (input): the text is not of the trainer's format.
Result<Checked> check(const TrainerFiles& trainer, const std::string& text, const std::string& name,
                      const Given& given, Version version);

/// Knobs in which two plans differ, as a user writes them.
std::vector<Loss> differences(const Model& model, const Plan& wanted, const Plan& written);

}  // namespace meshplan::launch
