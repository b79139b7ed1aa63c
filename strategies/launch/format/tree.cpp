// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cstdlib>

#include "strategies/launch/format/formats.hpp"

namespace meshplan::launch {
namespace {

/// Quoted scalars are texts whatever they look like.
Json value_of(const YAML::Node& node) {
  if (node.IsSequence()) {
    Json out = Json::array();
    for (const auto& each : node) out.push_back(value_of(each));
    return out;
  }
  if (node.IsMap()) {
    Json out = Json::object();
    for (const auto& each : node) out[each.first.as<std::string>()] = value_of(each.second);
    return out;
  }
  if (!node.IsScalar()) return nullptr;
  return node.Tag() == "!" ? Json(node.Scalar()) : scalar_of(node.Scalar());
}

void add(const YAML::Node& node, const std::string& prefix, Settings& out) {
  for (const auto& each : node) {
    const std::string key = prefix + each.first.as<std::string>();
    if (each.second.IsMap() && each.second.size() > 0)
      add(each.second, key + ".", out);
    else
      out.add(key, value_of(each.second), each.first.Mark().line + 1);
  }
}

}  // namespace

Json scalar_of(const std::string& text) {
  if (text == "true" || text == "True") return true;
  if (text == "false" || text == "False") return false;
  if (text.empty() || text == "null" || text == "~" || text == "None") return nullptr;
  int64_t whole = 0;
  const char* end = text.data() + text.size();
  if (const auto r = std::from_chars(text.data(), end, whole); r.ec == std::errc() && r.ptr == end)
    return whole;
  const bool numeric = text.find_first_not_of("0123456789+-.eE") == std::string::npos &&
                       text.find_first_of("0123456789") != std::string::npos;
  if (numeric) {
    char* last = nullptr;
    const double number = std::strtod(text.c_str(), &last);
    if (last == text.c_str() + text.size()) return number;
  }
  return text;
}

Result<Settings> read_tree(const std::string& text, const std::string& name) {
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap()) return Diagnostic{ErrorKind::input, "keys and values are expected", name};
    Settings out(name);
    add(root, "", out);
    return out;
  } catch (const YAML::Exception& error) {
    return Diagnostic{ErrorKind::input, "malformed: " + error.msg,
                      fmt::format("{}:{}", name, error.mark.line + 1)};
  }
}

}  // namespace meshplan::launch
