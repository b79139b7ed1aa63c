// SPDX-License-Identifier: Apache-2.0
#include "topologies/base/diagnostic.hpp"

#include <fmt/format.h>

namespace meshplan {

std::string render(const Diagnostic& d) {
  std::string out = fmt::format("error: {}\n", d.message);
  auto line = [&](const char* label, const std::string& text) {
    if (!text.empty()) out += fmt::format("  {:<6} {}\n", label, text);
  };
  line("where", d.where);
  line("value", d.value);
  line("rule", d.rule);
  for (const auto& note : d.notes) line("note", note);
  line("hint", d.hint);
  return out;
}

Diagnostic at(Diagnostic d, const std::string& where) {
  d.where = d.where.empty() ? where : where + ": " + d.where;
  return d;
}

}  // namespace meshplan
