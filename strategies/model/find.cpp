// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <optional>

#include "strategies/model/columns.hpp"
#include "strategies/model/hf_config.hpp"
#include "strategies/model/model.hpp"
#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan {
namespace {

std::string folder() { return data_root() + "/strategies/data/models"; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

struct Bundled {
  Model model;
  std::vector<std::string> aliases;
};

/// A file of our own schema: id, name, source, aliases, config (HF keys), parameters (published).
Result<Bundled> read_bundled(const std::string& path) {
  MESHPLAN_TRY(MapReader file, MapReader::open(path));
  Bundled out;
  MapReader config = file.map("config");
  if (!file.has("config")) file.problem("config", "key 'config' is missing");
  out.model = model_from_hf(config);
  out.model.id = file.text("id");
  out.model.name = file.text("name");
  out.model.source = file.text("source");
  for (auto& text : file.texts("assumptions")) out.model.assumptions.push_back(std::move(text));
  out.aliases = file.texts("aliases");
  const int64_t published = file.integer("parameters", parameters(out.model));
  if (published != parameters(out.model))
    file.problem("parameters", fmt::format("the config has {} parameters", parameters(out.model)));
  MESHPLAN_CHECK(file.finish());
  return out;
}

/// "70B", "7.5b", "350M" -> number of parameters.
std::optional<double> size_from(const std::string& text) {
  if (text.size() < 2) return std::nullopt;
  double unit = 0;
  switch (std::tolower(static_cast<unsigned char>(text.back()))) {
    case 'm':
      unit = 1e6;
      break;
    case 'b':
      unit = 1e9;
      break;
    case 't':
      unit = 1e12;
      break;
    default:
      return std::nullopt;
  }
  const std::string digits = text.substr(0, text.size() - 1);
  if (digits.find_first_not_of("0123456789.") != std::string::npos || digits.size() > 12 ||
      std::count(digits.begin(), digits.end(), '.') > 1 || digits == ".")
    return std::nullopt;
  return std::stod(digits) * unit;
}

Result<Model> by_size(const std::string& text, double size) {
  if (size >= 1e7 && size <= 2e13) return llama_of_size(size);
  return Diagnostic{ErrorKind::usage,
                    "no Llama-shaped model of that size",
                    "model",
                    text,
                    {},
                    "from 10M to 20T parameters"};
}

/// "Qwen/Qwen2.5-7B", as the Hugging Face hub has it, without its owner.
std::string without_owner(const std::string& text) {
  const size_t slash = text.find('/');
  const bool hub = slash != std::string::npos && slash > 0 && text[0] != '.' &&
                   text.find('/', slash + 1) == std::string::npos;
  return hub ? text.substr(slash + 1) : text;
}

/// Letters, digits and dots of what stands outside of parentheses, in lower case.
std::string loose(const std::string& name) {
  std::string out;
  for (const char c : name.substr(0, name.find('(')))
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.') out += c;
  return lower(out);
}

}  // namespace

std::optional<Model> bundled_by_loose_name(const std::string& name) {
  // Published tables hold thousands of rows: the names are read once.
  static const std::map<std::string, Model> known = [] {
    std::map<std::string, Model> models;
    for (const auto& id : model_names()) {
      auto read = read_bundled(folder() + "/" + id + ".yaml");
      if (!read.ok()) continue;
      models.emplace(loose(id), read->model);
      for (const auto& alias : read->aliases) models.emplace(loose(alias), read->model);
    }
    return models;
  }();
  const auto found = known.find(loose(name));
  if (found == known.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& path : files_in(folder(), ".yaml"))
    names.push_back(std::filesystem::path(path).stem().string());
  std::sort(names.begin(), names.end());  // without the suffix: "gpt2" stands before "gpt2-xl"
  return names;
}

Result<Model> read_hf_config(const std::string& path) {
  MESHPLAN_TRY(MapReader config, MapReader::open(path));
  Model model = model_from_hf(config);
  MESHPLAN_CHECK(config.finish());
  const std::filesystem::path file(path);
  // A checkpoint is a folder; its name says more than "config".
  const std::string parent = std::filesystem::absolute(file).parent_path().filename().string();
  model.id = file.stem() == "config" && !parent.empty() ? parent : file.stem().string();
  model.name = model.id;
  model.source = path;
  return model;
}

Result<Model> find_model(const std::string& text) {
  std::error_code error;
  if (std::filesystem::is_directory(text, error))
    return read_hf_config((std::filesystem::path(text) / "config.json").string());
  if (ends_with(text, ".json")) return read_hf_config(text);
  if (ends_with(text, ".yaml") || ends_with(text, ".yml")) {
    MESHPLAN_TRY(Bundled read, read_bundled(text));
    return std::move(read.model);
  }
  const std::vector<std::string> names = model_names();
  const std::string wanted = lower(without_owner(text));
  if (std::binary_search(names.begin(), names.end(), wanted)) {
    MESHPLAN_TRY(Bundled read, read_bundled(folder() + "/" + wanted + ".yaml"));
    return std::move(read.model);
  }
  if (const auto size = size_from(text)) return by_size(text, *size);
  std::vector<std::string> words = names;
  for (const auto& name : names) {
    MESHPLAN_TRY(Bundled read, read_bundled(folder() + "/" + name + ".yaml"));
    for (const auto& alias : read.aliases) {
      if (lower(alias) == wanted) return std::move(read.model);
      words.push_back(alias);
    }
  }
  const std::string near = nearest(without_owner(text), words);
  return Diagnostic{
      ErrorKind::usage,
      "unknown model",
      "model",
      text,
      {},
      near.empty() ? "a bundled name ('meshplan list models'), a path to config.json, or a size "
                     "such as 70B"
                   : fmt::format("did you mean '{}'?", near)};
}

}  // namespace meshplan
