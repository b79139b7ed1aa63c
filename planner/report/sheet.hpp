// SPDX-License-Identifier: Apache-2.0
// What is known of one thing (a GPU, a cluster, a model, a trainer, ...)? Its facts, each with a
// label for people and a key with the unit for programs, and where they come from.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace meshplan::report {

using Json = nlohmann::ordered_json;  ///< keys in the order of writing: the same bytes every time

struct Fact {
  std::string label;  ///< "memory"
  std::string key;    ///< "memory_bytes"
  Json value;         ///< SI units, full precision
  std::string text;   ///< "79.6 GiB"
};

struct Sheet {
  std::string kind;  ///< gpu, cluster, model, trainer, schedule, rule
  std::string id;
  std::string name;
  std::vector<std::string> aliases;
  std::vector<Fact> facts;
  std::string source;
  std::vector<std::string> assumed;

  void add(std::string label, std::string key, Json value, std::string text) {
    facts.push_back({std::move(label), std::move(key), std::move(value), std::move(text)});
  }
  void flag(std::string label, std::string key, bool value) {
    add(std::move(label), std::move(key), value, value ? "yes" : "no");
  }
  void whole(std::string label, std::string key, int64_t value);
  void word(std::string label, std::string key, const std::string& value) {
    add(std::move(label), std::move(key), value, value);
  }
};

std::string to_text(const Sheet& sheet);
/// {"kind", "id", "name", facts..., "source", "assumed"}
Json to_json(const Sheet& sheet);

}  // namespace meshplan::report
