// SPDX-License-Identifier: Apache-2.0
// What does a trainer's file set? Keys, values and lines, the same for flags, YAML, JSON, TOML and
// Python: nested keys are joined by dots, a flag keeps its dashes, an environment variable is
// "env.NAME". Which of them exist and what they may be is the key table's question (keys.hpp).
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::launch {

using Json = nlohmann::json;

struct Setting {
  std::string key;
  Json value;
  int line = 0;
};

class Settings {
 public:
  explicit Settings(std::string file = "") : file_(std::move(file)) {}
  void add(std::string key, Json value, int line);  ///< a later one counts
  const Setting* find(const std::string& key) const;
  bool has(const std::string& key) const { return find(key) != nullptr; }
  const std::vector<Setting>& all() const { return all_; }
  const std::string& file() const { return file_; }

  // What is absent, null or of another type gives the fallback; the key table complains of types.
  int64_t integer(const std::string& key, int64_t fallback) const;
  double number(const std::string& key, double fallback) const;
  bool boolean(const std::string& key, bool fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  std::vector<std::string> texts(const std::string& key) const;  ///< list, or words of a text

  /// "plan.yaml:12: parallelism.tp"; without a line if the key is not set.
  std::string where(const std::string& key) const;

 private:
  std::string file_;
  std::vector<Setting> all_;
};

/// As it stands in messages: texts without quotes.
std::string shown(const Json& value);

}  // namespace meshplan::launch
