// SPDX-License-Identifier: Apache-2.0
#include "planner/planfile/planfile.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "planner/planfile/fields.hpp"
#include "strategies/trainer/settings.hpp"
#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan::planfile {
namespace {

std::string in_quotes(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + '"';
}

std::vector<std::string> module_names() {
  std::vector<std::string> out;
  for (int i = 0; i <= static_cast<int>(Module::state); ++i)
    out.emplace_back(name_of(static_cast<Module>(i)));
  return out;
}

class Writer {
 public:
  explicit Writer(int indent) : indent_(static_cast<size_t>(indent), ' ') {}
  std::string text;

  void line(const char* key, const std::string& value) {
    text += fmt::format("{}{}: {}\n", indent_, key, value);
  }
  void field(const char* key, int64_t& value) { line(key, std::to_string(value)); }
  void field(const char* key, int& value) { line(key, std::to_string(value)); }
  void field(const char* key, bool& value) { line(key, value ? "true" : "false"); }
  void field(const char* key, double& value) { line(key, fmt::format("{}", value)); }
  void field(const char* key, std::string& value) { line(key, in_quotes(value)); }
  void field(const char* key, std::vector<int>& value) {
    line(key, fmt::format("[{}]", fmt::join(value, ", ")));
  }
  void field(const char* key, std::vector<std::string>& value) {
    if (value.empty()) return line(key, "[]");
    text += fmt::format("{}{}:\n", indent_, key);
    for (const auto& each : value) text += fmt::format("{}  - {}\n", indent_, in_quotes(each));
  }
  template <class Enum>
  void choice(const char* key, Enum& value, const Names& names) {
    line(key, names[static_cast<size_t>(value)]);
  }
  void modules(const char* key, uint32_t& bits) {
    const auto all = module_names();
    std::vector<std::string> set;
    for (size_t i = 0; i < all.size(); ++i)
      if ((bits >> i & 1) != 0) set.push_back(in_quotes(all[i]));
    line(key, fmt::format("[{}]", fmt::join(set, ", ")));
  }
  void part(const char* key, std::optional<double>& value) {
    if (value) field(key, *value);
  }
  template <class T>
  void part(const char* key, std::optional<T>& value) {
    if (!value) return;
    text += fmt::format("{}{}:\n", indent_, key);
    Writer inner(static_cast<int>(indent_.size()) + 2);
    visit(inner, *value);
    text += inner.text;
  }

 private:
  std::string indent_;
};

class Reader {
 public:
  explicit Reader(MapReader& map) : map_(map) {}
  std::optional<Diagnostic> nested;  ///< first problem of a part

  void field(const char* key, int64_t& value) { value = map_.integer(key); }
  void field(const char* key, int& value) { value = static_cast<int>(map_.integer(key)); }
  void field(const char* key, bool& value) { value = map_.boolean(key); }
  void field(const char* key, double& value) { value = map_.number(key); }
  void field(const char* key, std::string& value) { value = map_.text(key); }
  void field(const char* key, std::vector<int>& value) {
    value.clear();
    for (double each : map_.numbers(key)) {
      if (each != static_cast<int>(each)) map_.problem(key, "expected whole numbers");
      value.push_back(static_cast<int>(each));
    }
  }
  void field(const char* key, std::vector<std::string>& value) { value = map_.texts(key); }
  template <class Enum>
  void choice(const char* key, Enum& value, const Names& names) {
    const std::string word = map_.choice(key, names);
    const auto found = std::find(names.begin(), names.end(), word);
    if (found != names.end()) value = static_cast<Enum>(found - names.begin());
  }
  void modules(const char* key, uint32_t& bits) {
    const auto all = module_names();
    bits = 0;
    for (const auto& word : map_.texts(key)) {
      const auto found = std::find(all.begin(), all.end(), word);
      if (found == all.end())
        map_.problem(key, "unknown module '" + word + "'", suggest(word, all));
      else
        bits |= 1u << (found - all.begin());
    }
  }
  void part(const char* key, std::optional<double>& value) {
    if (map_.has(key) && !map_.is_null(key)) field(key, value.emplace());
  }
  template <class T>
  void part(const char* key, std::optional<T>& value) {
    if (!map_.has(key) || map_.is_null(key)) return;
    MapReader inner = map_.map(key);
    Reader reader(inner);
    visit(reader, value.emplace());
    const Status status = inner.finish();
    if (!status.ok() && !nested) nested = status.error();
  }

 private:
  MapReader& map_;
};

template <class T>
Result<T> read_part(MapReader map) {
  T value;
  Reader reader(map);
  visit(reader, value);
  if (reader.nested) return *reader.nested;
  MESHPLAN_CHECK(map.finish());
  return value;
}

/// What the plan sets of its trainer; `section` for errors with their lines.
Status read_trainer_settings(MapReader section, const std::string& text, Trainer& trainer) {
  Trainer checked = trainer;
  MESHPLAN_CHECK(read_facts(section, checked));
  MESHPLAN_CHECK(section.finish());
  for (const auto& part : YAML::Load(text)["trainer_settings"])
    for (const auto& fact : part.second) {
      YAML::Emitter value;
      value << YAML::Flow << fact.second;
      MESHPLAN_CHECK(set(
          trainer, {part.first.as<std::string>(), fact.first.as<std::string>(), value.c_str()}));
    }
  return Done{};
}

std::string settings_part(const Trainer& trainer) {
  std::string out, section;
  for (const auto& each : trainer.settings) {
    if (out.empty()) out = "trainer_settings:\n";
    if (each.section != section) out += fmt::format("  {}:\n", section = each.section);
    out += fmt::format("    {}: {}\n", each.key, each.value);
  }
  return out;
}

/// The cluster's own reader takes text: the mapping is written out again.
Result<Cluster> read_cluster_part(const std::string& text, const std::string& name) {
  const YAML::Node node = YAML::Load(text)["cluster"];
  if (!node.IsDefined() || !node.IsMap())
    return Diagnostic{ErrorKind::input, "key 'cluster' is missing or no mapping", name};
  YAML::Emitter out;
  out.SetDoublePrecision(17);
  out << node;
  return parse_cluster(out.c_str(), fmt::format("{} (cluster)", name));
}

std::string indented(const std::string& text) {
  std::istringstream in(text);
  std::string out;
  for (std::string line; std::getline(in, line);) out += "  " + line + '\n';
  return out;
}

}  // namespace

bool is_plan_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    return line.rfind("schema:", 0) == 0 && line.find("meshplan.plan-file/") != std::string::npos;
  }
  return false;
}

Result<PlanFile> read(const std::string& path) {
  MESHPLAN_TRY(const std::string text, read_file(path));
  return parse(text, path);
}

Result<PlanFile> parse(const std::string& text, const std::string& name) {
  MESHPLAN_TRY(MapReader file, MapReader::parse(text, name));
  PlanFile out;
  const std::string schema = file.text("schema");
  if (schema != kSchema)
    file.problem("schema", "this is no plan file that this version can read", kSchema);
  const std::string trainer = file.text("trainer");
  const std::string rank_order = file.text("rank_order");
  out.batch.sequence = file.integer("sequence_tokens");
  out.batch.global_sequences = file.integer("global_batch_sequences");
  for (const char* key : {"sequence_tokens", "global_batch_sequences"})
    if (file.has(key) && file.integer(key) < 1) file.problem(key, "must be 1 or more");
  if (!file.has("strategy")) file.problem("strategy", "key 'strategy' is missing");
  if (!file.has("model")) file.problem("model", "key 'model' is missing");
  file.ignore("cluster");
  MapReader strategy = file.map("strategy");
  MapReader model = file.map("model");
  MapReader settings = file.map("trainer_settings");
  MESHPLAN_CHECK(file.finish());
  MESHPLAN_TRY(out.plan, read_part<Plan>(std::move(strategy)));
  MESHPLAN_TRY(out.model, read_part<Model>(std::move(model)));
  MESHPLAN_TRY(out.cluster, read_cluster_part(text, name));
  MESHPLAN_TRY(out.trainer, find_trainer(trainer));
  out.trainer.rank_order = rank_order;
  MESHPLAN_CHECK(read_trainer_settings(std::move(settings), text, out.trainer));
  return out;
}

std::string to_yaml(const PlanFile& file) {
  PlanFile copy = file;  // the list of fields serves reading too, so it wants to write to them
  Writer head(0), strategy(2), model(2);
  std::string schema = kSchema;
  head.field("schema", schema);
  head.field("trainer", copy.trainer.id);
  head.field("rank_order", copy.trainer.rank_order);
  head.field("sequence_tokens", copy.batch.sequence);
  head.field("global_batch_sequences", copy.batch.global_sequences);
  visit(strategy, copy.plan);
  visit(model, copy.model);
  return head.text + settings_part(file.trainer) + "strategy:\n" + strategy.text + "model:\n" +
         model.text + "cluster:\n" + indented(meshplan::to_yaml(file.cluster));
}

}  // namespace meshplan::planfile
