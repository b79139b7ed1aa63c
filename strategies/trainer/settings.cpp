// SPDX-License-Identifier: Apache-2.0
#include "strategies/trainer/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "topologies/base/reader.hpp"

namespace meshplan {

namespace {

/// The fact alone, noted nowhere.
Status apply(Trainer& trainer, const TrainerSetting& setting) {
  const std::string text =
      fmt::format("{}: {{{}: {}}}", setting.section, setting.key, setting.value);
  MESHPLAN_TRY(MapReader file, MapReader::parse(text, "setting of " + trainer.id));
  MESHPLAN_CHECK(read_facts(file, trainer));
  return file.finish();
}

/// Is `trainer` what its file and its settings make?
bool is_said(const Trainer& trainer) {
  Result<Trainer> file = find_trainer(trainer.id);
  if (!file.ok()) return false;
  for (const TrainerSetting& each : trainer.settings)
    if (!apply(*file, each).ok()) return false;
  file->settings = trainer.settings;
  return *file == trainer;
}

}  // namespace

Status set(Trainer& trainer, const TrainerSetting& setting) {
  Trainer changed = trainer;
  MESHPLAN_CHECK(apply(changed, setting));
  if (changed == trainer) return Done{};
  auto& all = changed.settings;
  std::erase_if(all, [&](const TrainerSetting& each) {
    return each.section == setting.section && each.key == setting.key;
  });
  if (!is_said(changed)) all.push_back(setting);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tie(a.section, a.key) < std::tie(b.section, b.key);
  });
  trainer = std::move(changed);
  return Done{};
}

std::string to_text(const TrainerSetting& setting) {
  return fmt::format("{}.{}: {}", setting.section, setting.key, setting.value);
}

std::string settings_text(const Trainer& trainer) {
  std::string out;
  for (const auto& each : trainer.settings) out += (out.empty() ? "" : ", ") + to_text(each);
  return out;
}

}  // namespace meshplan
