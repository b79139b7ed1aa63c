// SPDX-License-Identifier: Apache-2.0
#include "planner/report/sheet.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "planner/report/format.hpp"
#include "planner/report/table.hpp"

namespace meshplan::report {

void Sheet::whole(std::string label, std::string key, int64_t value) {
  add(std::move(label), std::move(key), value, grouped(value));
}

std::string to_text(const Sheet& sheet) {
  std::string out = fmt::format("{} {}", sheet.kind, sheet.id);
  if (!sheet.name.empty() && sheet.name != sheet.id) out += ": " + sheet.name;
  out += '\n';
  Table table({{"", Align::left}, {"", Align::left}});
  for (const Fact& fact : sheet.facts)
    if (!fact.label.empty()) table.add({fact.label, fact.text});
  if (!sheet.aliases.empty())
    table.add({"also", fmt::format("{}", fmt::join(sheet.aliases, ", "))});
  out += table.text();
  if (!sheet.source.empty()) out += "source\n  " + wrapped(sheet.source, 2) + '\n';
  if (!sheet.assumed.empty()) out += "assumed\n";
  for (const auto& text : sheet.assumed) out += "  - " + wrapped(text, 4) + '\n';
  return out;
}

Json to_json(const Sheet& sheet) {
  Json out;
  out["kind"] = sheet.kind;
  out["id"] = sheet.id;
  out["name"] = sheet.name;
  if (!sheet.aliases.empty()) out["aliases"] = sheet.aliases;
  for (const Fact& fact : sheet.facts) out[fact.key] = fact.value;
  out["source"] = sheet.source;
  out["assumed"] = sheet.assumed;
  return out;
}

}  // namespace meshplan::report
