// SPDX-License-Identifier: Apache-2.0
// meshplan list: what is bundled?
#include <fmt/format.h>

#include <functional>
#include <map>

#include "planner/cli/parse.hpp"
#include "planner/report/facts.hpp"
#include "planner/report/format.hpp"
#include "planner/report/table.hpp"
#include "strategies/launch/trainer_files.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::cli {
namespace {

using namespace report;
using Sheets = std::vector<Sheet>;

Result<Sheets> models() {
  Sheets out;
  for (const auto& name : model_names()) {
    MESHPLAN_TRY(Model model, find_model(name));
    out.push_back(facts_of(model));
  }
  return out;
}

template <class T>
Result<Sheets> sheets_of(Result<std::vector<T>> all) {
  if (!all.ok()) return all.error();
  Sheets out;
  for (const T& each : all.value()) out.push_back(facts_of(each));
  return out;
}

Result<Sheets> schedules() {
  MESHPLAN_TRY(const std::vector<Trainer> trainers, all_trainers());
  Sheets out;
  for (int i = 0; i < kScheduleKinds; ++i)
    out.push_back(facts_of(static_cast<ScheduleKind>(i), trainers));
  return out;
}

Result<Sheets> rules() {
  MESHPLAN_TRY(const std::vector<Trainer> trainers, all_trainers());
  Sheets out;
  for (int i = 1; i < kRules; ++i) out.push_back(facts_of(static_cast<RuleId>(i), trainers));
  return out;
}

/// Rules of trainers' files, "trainer/rule".
Result<Sheets> config_rules() {
  Sheets out;
  for (const launch::TrainerFiles* trainer : launch::trainer_files())
    for (const launch::ConfigRule& rule : trainer->rules) {
      Sheet sheet{"configuration rule",
                  fmt::format("{}/{}", trainer->id, rule.id),
                  "",
                  {},
                  {},
                  trainer->name,
                  {}};
      sheet.flag("trainer refuses", "trainer_refuses", rule.trainer_refuses);
      sheet.word("says", "says", rule.says);
      out.push_back(std::move(sheet));
    }
  return out;
}

/// Facts of a kind that stand in the list; the others are for `show`.
struct Kind {
  std::function<Result<Sheets>()> sheets;
  std::vector<std::string> columns;  ///< keys of facts
};

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> all = {
      {"models", {models, {"parameters", "layers", "hidden", "heads", "kv_heads"}}},
      {"gpus",
       {[] { return sheets_of(all_gpus()); },
        {"bf16_flops_per_s", "memory_bytes", "memory_bytes_per_s", "nvlink_bytes_per_s"}}},
      {"clusters",
       {[] { return sheets_of(all_clusters()); },
        {"gpu", "gpus", "intra_bytes_per_s", "nic_bytes_per_s_per_gpu", "network"}}},
      {"trainers", {[] { return sheets_of(all_trainers()); }, {"attention", "schedules"}}},
      {"schedules", {schedules, {"order"}}},
      {"rules", {rules, {"universal", "says"}}},
      {"config-rules", {config_rules, {"trainer_refuses", "says"}}},
  };
  return all;
}

const Fact* find(const Sheet& sheet, const std::string& key) {
  for (const Fact& fact : sheet.facts)
    if (fact.key == key) return &fact;
  return nullptr;
}

/// "gpu-id (long name)" -> "gpu-id": lists are for scanning.
std::string brief(const Fact& fact) {
  if (fact.key == "parameters") return count(fact.value.get<double>());
  if (fact.key == "gpus") return grouped(fact.value.get<int64_t>());
  if (fact.key == "gpu") return fact.value.get<std::string>();
  return fact.text;
}

std::string listed(const Sheets& sheets, const Kind& kind) {
  std::vector<Table::Column> columns = {{"name", Align::left}};
  for (const auto& key : kind.columns) {
    const Fact* fact = find(sheets.front(), key);
    const bool number = fact != nullptr && fact->value.is_number();
    columns.push_back({fact != nullptr ? fact->label : key, number ? Align::right : Align::left});
  }
  Table table(columns);
  for (const Sheet& sheet : sheets) {
    std::vector<std::string> row = {sheet.id};
    for (const auto& key : kind.columns) {
      const Fact* fact = find(sheet, key);
      row.push_back(fact != nullptr ? brief(*fact) : "");
    }
    table.add(std::move(row));
  }
  return table.text(0);
}

}  // namespace

int run_list(const Arguments& arguments) {
  CLI::App app(
      "What is bundled: models, gpus, clusters, trainers, schedules, rules of plans, config-rules\n"
      "of trainers' files.\n\n"
      "  meshplan list models\n  meshplan show llama3-405b",
      "meshplan list");
  std::string word;
  bool json = false;
  app.add_option("KIND", word,
                 "models, gpus, clusters, trainers, schedules, rules or config-rules");
  app.add_flag("--json", json, "one JSON document on standard output");
  MESHPLAN_CLI_PARSE(app, arguments);

  std::vector<std::string> names;
  for (const auto& [name, kind] : kinds()) names.push_back(name);
  const auto found = kinds().find(word);
  if (found == kinds().end())
    return fail({.kind = ErrorKind::usage,
                 .message = word.empty() ? "list what?" : "there is no such list",
                 .where = "meshplan list",
                 .value = word,
                 .hint = suggest(word, names)},
                json);
  MESHPLAN_CLI_TRY(const Sheets sheets, found->second.sheets(), json);
  if (!json) {
    print(listed(sheets, found->second));
    return 0;
  }
  Json items = Json::array();
  for (const Sheet& sheet : sheets) items.push_back(to_json(sheet));
  print(Json{{"schema", "meshplan.list/1"},
             {"inputs", {{"kind", word}}},
             {"provenance", {{"tool", "meshplan"}, {"version", MESHPLAN_VERSION}}},
             {"items", std::move(items)}});
  return 0;
}

}  // namespace meshplan::cli
