// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/keys.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "topologies/base/files.hpp"

namespace meshplan::launch {
namespace {

bool is_of(const std::string& type, const Json& value) {
  if (const size_t either = type.find("-or-auto"); either != std::string::npos)
    return value == Json("auto") || is_of(type.substr(0, either), value);
  if (type == "int") {
    if (value.is_number_float())
      return value.get<double>() == static_cast<double>(static_cast<int64_t>(value.get<double>()));
    return value.is_number_integer();
  }
  if (type == "float") return value.is_number();
  if (type == "bool" || type == "flag") return value.is_boolean();
  if (type == "text") return value.is_primitive();
  if (type == "list") return value.is_array() || value.is_primitive();
  return true;
}

}  // namespace

Result<KeyTable> load_keys(const std::string& trainer, Version version) {
  const std::string path =
      fmt::format("{}/strategies/data/launch/{}-{}.keys", data_root(), trainer, to_text(version));
  MESHPLAN_TRY(const std::string text, read_file(path));
  KeyTable out;
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string key;
    KeyType type;
    if (!(words >> key >> type.type))
      return Diagnostic{ErrorKind::input, "a key and its type are expected",
                        fmt::format("{}:{}", path, number), line};
    for (std::string choice; words >> choice;) type.choices.push_back(choice);
    out[key] = std::move(type);
  }
  return out;
}

const KeyType* find_key(const KeyTable& keys, const std::string& key) {
  if (const auto found = keys.find(key); found != keys.end()) return &found->second;
  for (size_t dot = key.rfind('.'); dot != std::string::npos && dot > 0;
       dot = key.rfind('.', dot - 1))
    if (const auto found = keys.find(key.substr(0, dot) + ".*"); found != keys.end())
      return &found->second;
  return nullptr;
}

std::string mismatch(const KeyType& type, const Json& value) {
  if (value.is_null()) return "";
  const auto legal = [&](const Json& each) {
    const std::string text = shown(each);
    return std::find(type.choices.begin(), type.choices.end(), text) != type.choices.end();
  };
  if (!type.choices.empty()) {
    const bool all = type.type == "list" && value.is_array()
                         ? std::all_of(value.begin(), value.end(), legal)
                         : legal(value);
    return all ? "" : fmt::format("{}", fmt::join(type.choices, ", "));
  }
  if (is_of(type.type, value)) return "";
  if (type.type.rfind("int", 0) == 0) return "a whole number";
  if (type.type.rfind("float", 0) == 0) return "a number";
  if (type.type.rfind("bool", 0) == 0) return "true or false";
  if (type.type == "flag") return "no value";
  return "a " + type.type;
}

}  // namespace meshplan::launch
