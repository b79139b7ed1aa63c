// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <toml++/toml.h>

#include "strategies/launch/format/formats.hpp"

namespace meshplan::launch {
namespace {

Json value_of(const toml::node& node) {
  if (const auto* list = node.as_array()) {
    Json out = Json::array();
    for (const auto& each : *list) out.push_back(value_of(each));
    return out;
  }
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* whole = node.as_integer()) return whole->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* text = node.as_string()) return text->get();
  return nullptr;
}

void add(const toml::table& table, const std::string& prefix, Settings& out) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const auto* inner = node.as_table())
      add(*inner, name + ".", out);
    else
      out.add(name, value_of(node), static_cast<int>(node.source().begin.line));
  }
}

}  // namespace

Result<Settings> read_toml(const std::string& text, const std::string& name) {
  try {
    Settings out(name);
    add(toml::parse(text), "", out);
    return out;
  } catch (const toml::parse_error& error) {
    return Diagnostic{ErrorKind::input, fmt::format("malformed: {}", error.description()),
                      fmt::format("{}:{}", name, error.source().begin.line)};
  }
}

}  // namespace meshplan::launch
