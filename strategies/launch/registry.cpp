// SPDX-License-Identifier: Apache-2.0
// Which trainers can be written for? Each folder below has one; this is the only list.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "strategies/launch/trainers.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::launch {

const std::vector<const TrainerFiles*>& trainer_files() {
  static const std::vector<const TrainerFiles*> all = {
      &accelerate_files(), &deepspeed_files(), &megatron_bridge_files(), &megatron_lm_files(),
      &meshplan_files(),   &nanotron_files(),  &torchtitan_files()};
  return all;
}

Result<const TrainerFiles*> find_trainer_files(const std::string& name) {
  std::vector<std::string> names;
  for (const TrainerFiles* each : trainer_files()) {
    if (name == each->id) return each;
    names.emplace_back(each->id);
  }
  if (const auto trainer = find_trainer(name); trainer.ok())
    for (const TrainerFiles* each : trainer_files())
      if (trainer->id == each->plans || trainer->launched_as == each->plans) return each;
  return Diagnostic{
      ErrorKind::usage,    "no launch files are known for this trainer", "--trainer", name, {},
      suggest(name, names)};
}

Result<Version> version_of(const TrainerFiles& trainer, const std::string& text) {
  if (text.empty()) return trainer.versions.front();
  std::vector<std::string> known;
  for (const Version version : trainer.versions) {
    known.push_back(to_text(version));
    if (known.back() == text) return version;
  }
  return Diagnostic{ErrorKind::usage,
                    fmt::format("no files are known for this release of {}", trainer.id),
                    "--trainer-version",
                    text,
                    {},
                    fmt::format("known: {}", fmt::join(known, ", "))};
}

}  // namespace meshplan::launch
