// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/settings.hpp"

#include <fmt/format.h>

#include <sstream>

namespace meshplan::launch {

void Settings::add(std::string key, Json value, int line) {
  all_.push_back({std::move(key), std::move(value), line});
}

const Setting* Settings::find(const std::string& key) const {
  for (auto each = all_.rbegin(); each != all_.rend(); ++each)
    if (each->key == key) return &*each;
  return nullptr;
}

int64_t Settings::integer(const std::string& key, int64_t fallback) const {
  const Setting* found = find(key);
  if (found == nullptr) return fallback;
  if (found->value.is_number_float()) return static_cast<int64_t>(found->value.get<double>());
  return found->value.is_number() ? found->value.get<int64_t>() : fallback;
}

double Settings::number(const std::string& key, double fallback) const {
  const Setting* found = find(key);
  return found != nullptr && found->value.is_number() ? found->value.get<double>() : fallback;
}

bool Settings::boolean(const std::string& key, bool fallback) const {
  const Setting* found = find(key);
  return found != nullptr && found->value.is_boolean() ? found->value.get<bool>() : fallback;
}

std::string Settings::text(const std::string& key, const std::string& fallback) const {
  const Setting* found = find(key);
  if (found == nullptr || found->value.is_null()) return fallback;
  return shown(found->value);
}

std::vector<std::string> Settings::texts(const std::string& key) const {
  std::vector<std::string> out;
  const Setting* found = find(key);
  if (found == nullptr || found->value.is_null()) return out;
  if (found->value.is_array()) {
    for (const Json& each : found->value) out.push_back(shown(each));
    return out;
  }
  std::istringstream in(shown(found->value));
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

std::string Settings::where(const std::string& key) const {
  const Setting* found = find(key);
  if (found == nullptr || found->line == 0) return fmt::format("{}: {}", file_, key);
  return fmt::format("{}:{}: {}", file_, found->line, key);
}

std::string shown(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace meshplan::launch
