// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/launch.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "strategies/launch/keys.hpp"
#include "strategies/launch/readme.hpp"
#include "strategies/launch/start.hpp"
#include "strategies/rules/rules.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::launch {
namespace {

void check_keys(const TrainerFiles& trainer, Version version, const KeyTable& keys,
                const Config& config, std::vector<Diagnostic>& findings) {
  Report report(config.settings, trainer.id, findings);
  std::vector<std::string> names;
  for (const auto& [name, type] : keys) names.push_back(name);
  for (const Setting& setting : config.settings.all()) {
    if (setting.key.rfind("env.", 0) == 0 || setting.key.rfind("launcher.", 0) == 0) continue;
    if (setting.key.find(".(") != std::string::npos) continue;    // argument of a call in Python
    if (config.settings.find(setting.key) != &setting) continue;  // a later one counts
    const KeyType* type = find_key(keys, setting.key);
    if (type == nullptr) {
      report.begin("known-key");
      report.add(setting.key, fmt::format("{} {} has no such key", trainer.id, to_text(version)),
                 suggest(setting.key, names).substr(0, 200));
      continue;
    }
    const std::string expected = mismatch(*type, setting.value);
    if (expected.empty()) continue;
    report.begin(type->choices.empty() ? "value-type" : "legal-value");
    const std::string value = shown(setting.value);
    const std::string near = nearest(value, type->choices);
    report.add(setting.key, "this key does not take this value", near.empty() ? expected : near);
  }
}

/// A rule of the plan, in the words of the trainer's file.
Diagnostic in_words_of(const TrainerFiles& trainer, const Settings& settings, Diagnostic found) {
  found.kind = ErrorKind::check;
  for (const auto& [knob, key] : trainer.knobs) {
    if (found.where != knob) continue;
    found.where = settings.where(key);
    if (const Setting* set = settings.find(key); set != nullptr) found.value = shown(set->value);
    return found;
  }
  found.where = fmt::format("{}: {}", settings.file(), found.where);
  return found;
}

/// What the file says is what counts: it is read as a stranger's would be.
Status write_and_read(const TrainerFiles& trainer, const Job& job, Version version,
                      const Trainer& plans, Written& out) {
  MESHPLAN_TRY(std::string text, trainer.write(job, version));
  const Given given{.model = job.model,
                    .nodes = job.nodes,
                    .gpus_per_node = job.gpus_per_node,
                    .compute_capability = job.compute_capability,
                    .sequence = job.batch.sequence,
                    .global_sequences = job.batch.global_sequences,
                    .micro_batch = job.plan.micro_batch,
                    .recompute = job.plan.recompute,
                    .entry = "",
                    .trainer = plans};
  MESHPLAN_TRY(const Checked checked,
               check(trainer, text, trainer.file_name(version), given, version));
  if (!checked.findings.empty()) {
    Diagnostic first = checked.findings.front();
    first.message = fmt::format("the plan needs what {} refuses: {}", trainer.id, first.message);
    first.kind = ErrorKind::no_plan;
    return first;
  }
  if (checked.config.model_differs)
    return Diagnostic{.kind = ErrorKind::no_plan,
                      .message = fmt::format("{} has no words for this model", trainer.id),
                      .value = job.model.id,
                      .hint = fmt::format("{}", fmt::join(checked.config.notes, "; "))};
  out.plan = canonical(job.model, checked.config.job.plan);
  out.trainer = checked.config.job.trainer;
  out.losses = differences(job.model, job.plan, out.plan);
  const auto& said = out.trainer.settings;
  for (const TrainerSetting& each : job.trainer.settings)
    if (std::find(said.begin(), said.end(), each) == said.end())
      out.losses.push_back({fmt::format("trainer_settings {}.{}", each.section, each.key),
                            each.value, "", "its file has no word for it in this plan"});
  for (Loss& loss : out.losses)
    for (const auto& [knob, why] : trainer.limits)
      if (loss.knob == knob) loss.why = why;
  out.files.push_back({trainer.file_name(version), std::move(text), false});
  return Done{};
}

}  // namespace

void Report::add(const std::string& key, const std::string& message, const std::string& nearest,
                 std::string value) {
  if (value.empty()) {
    const Setting* set = settings_.find(key);
    value = set != nullptr ? shown(set->value) : "not set";
  }
  findings_.push_back({ErrorKind::check, message, settings_.where(key), std::move(value),
                       fmt::format("{} ({})", rule_, trainer_), nearest});
}

bool Config::knows(const std::string& what) const {
  return std::find(unknown.begin(), unknown.end(), what) == unknown.end();
}

Result<Checked> check(const TrainerFiles& trainer, const std::string& text, const std::string& name,
                      const Given& given, Version version) {
  if (trainer.read == nullptr)
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = fmt::format("{} reads plan files, and nothing else", trainer.id),
                      .value = name,
                      .hint = "meshplan simulate checks them"};
  Checked out;
  MESHPLAN_TRY(out.config, trainer.read(text, name, given, version));
  out.config.version = version;
  MESHPLAN_TRY(const KeyTable keys, load_keys(trainer.id, version));
  check_keys(trainer, version, keys, out.config, out.findings);
  Report report(out.config.settings, trainer.id, out.findings);
  for (const ConfigRule& rule : trainer.rules) {
    if (version < rule.since || version >= rule.until) continue;
    report.begin(rule.id);
    rule.check(out.config, report);
  }
  out.findings.insert(out.findings.end(), out.config.findings.begin(), out.config.findings.end());
  if (!out.config.unknown.empty()) {
    out.skipped.push_back(fmt::format("rules of the plan: neither the file nor a flag says {}",
                                      fmt::join(out.config.unknown, ", ")));
    return out;
  }
  const Job& job = out.config.job;
  const RuleChecker rules(job.model, job.batch, given.trainer, job.gpus());
  for (const RuleId rule : rules.check_all(job.plan))
    out.findings.push_back(
        in_words_of(trainer, out.config.settings, rules.describe(rule, job.plan)));
  return out;
}

Result<Written> write(const TrainerFiles& trainer, const Job& job, Version version) {
  MESHPLAN_TRY(const Trainer plans, find_trainer(trainer.plans));
  if (auto refused = violated(job.model, job.plan, job.batch, plans, job.gpus()); refused)
    return *std::move(refused);
  Written out;
  out.plan = canonical(job.model, job.plan);
  out.trainer = job.trainer;
  if (trainer.write != nullptr) {
    MESHPLAN_CHECK(write_and_read(trainer, job, version, plans, out));
  }
  const Start start = trainer.start(job, version);
  for (LaunchFile& file : start_files(job, start)) out.files.push_back(std::move(file));
  if (trainer.others != nullptr)
    for (LaunchFile& file : trainer.others(job, version)) out.files.push_back(std::move(file));
  out.files.push_back({"README.md", readme(trainer, job, version, start, out), false});
  std::sort(out.files.begin(), out.files.end(),
            [](const LaunchFile& a, const LaunchFile& b) { return a.name < b.name; });
  return out;
}

}  // namespace meshplan::launch
