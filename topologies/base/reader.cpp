// SPDX-License-Identifier: Apache-2.0
#include "topologies/base/reader.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <cmath>
#include <optional>
#include <set>

#include "topologies/base/files.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan {

/// Problems of one document, shared by the readers of its nested mappings.
struct Problems {
  std::optional<Diagnostic> first;
};

struct MapReader::State {
  YAML::Node node;
  std::string file;
  std::string path;  ///< dotted keys from the root, "" at the root
  std::set<std::string> known;
  std::shared_ptr<Problems> problems;

  std::string where(const std::string& key) const {
    const YAML::Node value = key.empty() ? YAML::Node(node) : child(key);
    const YAML::Mark mark = (value.IsDefined() ? value : node).Mark();
    std::string full = path.empty() ? key : (key.empty() ? path : path + "." + key);
    const bool placed = !mark.is_null() && mark.line >= 0;
    const std::string line = placed ? fmt::format("{}:{}", file, mark.line + 1) : file;
    return full.empty() ? line : fmt::format("{}: {}", line, full);
  }
  YAML::Node child(const std::string& key) const {
    // operator[] on a const node does not insert.
    const YAML::Node& self = node;
    if (!self.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
    return self[key];
  }
  /// "did you mean" of a key that stands here in the place of the missing one; may be empty.
  std::string misspelt(const std::string& missing) const {
    std::vector<std::string> there;
    for (const auto& pair : node) {
      const auto key = pair.first.as<std::string>();
      if (known.count(key) == 0) there.push_back(key);
    }
    const std::string like = nearest(missing, there);
    return like.empty() ? "" : fmt::format("is '{}' a misspelling of it?", like);
  }
  void note(const std::string& key, const std::string& message, const std::string& value,
            const std::string& hint) {
    if (!problems->first)
      problems->first = Diagnostic{ErrorKind::input, message, where(key), value, "", hint};
  }
};

MapReader::MapReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
MapReader::MapReader(MapReader&&) noexcept = default;
MapReader& MapReader::operator=(MapReader&&) noexcept = default;
MapReader::~MapReader() = default;

Result<MapReader> MapReader::open(const std::string& path) {
  MESHPLAN_TRY(std::string text, read_file(path));
  return parse(text, path);
}

Result<MapReader> MapReader::parse(const std::string& text, const std::string& name) {
  auto state = std::make_unique<State>();
  state->file = name;
  state->problems = std::make_shared<Problems>();
  try {
    state->node = YAML::Load(text);
  } catch (const YAML::ParserException& e) {
    return Diagnostic{ErrorKind::input,
                      "not valid YAML or JSON: " + e.msg,
                      fmt::format("{}:{}", name, e.mark.line + 1),
                      "",
                      "",
                      "the file may be truncated; look at that line and the one before"};
  }
  if (!state->node.IsMap())
    return Diagnostic{ErrorKind::input, "expected 'key: value' pairs at the top of the file", name};
  return MapReader(std::move(state));
}

bool MapReader::has(const std::string& key) {
  state_->known.insert(key);
  return state_->child(key).IsDefined();
}

bool MapReader::is_null(const std::string& key) {
  state_->known.insert(key);
  const YAML::Node value = state_->child(key);
  return value.IsDefined() && value.IsNull();
}

std::vector<std::string> MapReader::keys() const {
  std::vector<std::string> out;
  if (state_->node.IsMap())
    for (const auto& pair : state_->node) out.push_back(pair.first.as<std::string>());
  return out;
}

namespace {
template <class T>
std::optional<T> convert(const YAML::Node& value) {
  T out{};
  if (value.IsScalar() && YAML::convert<T>::decode(value, out)) return out;
  return std::nullopt;
}
std::string shown(const YAML::Node& value) {
  if (value.IsScalar()) return value.Scalar();
  if (value.IsNull()) return "null";
  return value.IsSequence() ? "a list" : "a mapping";
}

/// One shape for all scalar getters: absent -> fallback or problem; wrong type -> problem.
template <class T, class State>
T scalar(State& state, const std::string& key, const std::optional<T>& fallback,
         const char* expected) {
  state.known.insert(key);
  const YAML::Node value = state.child(key);
  if (!value.IsDefined() || value.IsNull()) {
    if (fallback) return *fallback;
    state.note("", fmt::format("key '{}' is missing", key), "", state.misspelt(key));
    return T{};
  }
  if (auto converted = convert<T>(value)) return *converted;
  state.note(key, fmt::format("expected {}", expected), shown(value), "");
  return T{};
}

constexpr const char* kNumber = "a number";
constexpr const char* kInteger = "a whole number";
constexpr const char* kBoolean = "true or false";
constexpr const char* kText = "text";
}  // namespace

double MapReader::number(const std::string& key) {
  return scalar<double>(*state_, key, std::nullopt, kNumber);
}
double MapReader::number(const std::string& key, double fallback) {
  return scalar<double>(*state_, key, fallback, kNumber);
}
int64_t MapReader::integer(const std::string& key) {
  return scalar<int64_t>(*state_, key, std::nullopt, kInteger);
}
int64_t MapReader::integer(const std::string& key, int64_t fallback) {
  return scalar<int64_t>(*state_, key, fallback, kInteger);
}
bool MapReader::boolean(const std::string& key) {
  return scalar<bool>(*state_, key, std::nullopt, kBoolean);
}
bool MapReader::boolean(const std::string& key, bool fallback) {
  return scalar<bool>(*state_, key, fallback, kBoolean);
}
std::string MapReader::text(const std::string& key) {
  return scalar<std::string>(*state_, key, std::nullopt, kText);
}
std::string MapReader::text(const std::string& key, const std::string& fallback) {
  return scalar<std::string>(*state_, key, fallback, kText);
}

double MapReader::positive(const std::string& key) {
  const double out = number(key);
  if (state_->child(key).IsDefined() && !(out > 0 && std::isfinite(out)))
    state_->note(key, "must be greater than zero", shown(state_->child(key)), "");
  return out;
}
double MapReader::positive(const std::string& key, double fallback) {
  return has(key) && !is_null(key) ? positive(key) : fallback;
}

std::string MapReader::choice(const std::string& key, const std::vector<std::string>& legal) {
  std::string word = text(key);
  for (const auto& candidate : legal)
    if (candidate == word) return word;
  if (state_->child(key).IsDefined())
    state_->note(key, "unknown value", word, suggest(word, legal));
  return legal.empty() ? word : legal.front();
}
std::string MapReader::choice(const std::string& key, const std::vector<std::string>& legal,
                              const std::string& fallback) {
  return has(key) && !is_null(key) ? choice(key, legal) : fallback;
}

std::vector<double> MapReader::numbers(const std::string& key) {
  std::vector<double> out;
  if (!has(key) || is_null(key)) return out;
  const YAML::Node value = state_->child(key);
  if (!value.IsSequence()) state_->note(key, "expected a list of numbers", shown(value), "");
  for (const auto& item : value) {
    if (auto converted = convert<double>(item))
      out.push_back(*converted);
    else
      state_->note(key, "expected a number in the list", shown(item), "");
  }
  return out;
}

std::vector<std::string> MapReader::texts(const std::string& key) {
  std::vector<std::string> out;
  if (!has(key) || is_null(key)) return out;
  const YAML::Node value = state_->child(key);
  if (!value.IsSequence()) state_->note(key, "expected a list", shown(value), "");
  for (const auto& item : value) {
    if (item.IsScalar())
      out.push_back(item.Scalar());
    else
      state_->note(key, "expected plain text in the list", shown(item), "");
  }
  return out;
}

namespace {
template <class State>
std::unique_ptr<State> nested(const State& parent, const YAML::Node& node,
                              const std::string& path) {
  auto state = std::make_unique<State>();
  state->node.reset(node);
  state->file = parent.file;
  state->path = path;
  state->problems = parent.problems;
  return state;
}
}  // namespace

MapReader MapReader::map(const std::string& key) {
  const std::string path = state_->path.empty() ? key : state_->path + "." + key;
  if (!has(key) || is_null(key))
    return MapReader(nested(*state_, YAML::Node(YAML::NodeType::Map), path));
  const YAML::Node value = state_->child(key);
  if (!value.IsMap()) state_->note(key, "expected 'key: value' pairs", shown(value), "");
  return MapReader(nested(*state_, value, path));
}

std::vector<MapReader> MapReader::maps(const std::string& key) {
  std::vector<MapReader> out;
  if (!has(key) || is_null(key)) return out;
  const YAML::Node value = state_->child(key);
  if (!value.IsSequence()) state_->note(key, "expected a list", shown(value), "");
  int index = 0;
  for (const auto& item : value) {
    const std::string path =
        fmt::format("{}{}[{}]", state_->path.empty() ? "" : state_->path + ".", key, index++);
    if (!item.IsMap())
      state_->note(key, "expected 'key: value' pairs in the list", shown(item), "");
    out.push_back(MapReader(nested(*state_, item, path)));
  }
  return out;
}

void MapReader::problem(const std::string& key, const std::string& message,
                        const std::string& hint) {
  const YAML::Node value = state_->child(key);
  state_->note(key, message, value.IsDefined() ? shown(value) : "", hint);
}

void MapReader::ignore(const std::string& key) { state_->known.insert(key); }

Status MapReader::finish() {
  if (state_->problems->first) return *state_->problems->first;
  for (const auto& key : keys()) {
    if (state_->known.count(key) != 0) continue;
    return Diagnostic{ErrorKind::input,
                      fmt::format("unknown key '{}'", key),
                      state_->where(key),
                      "",
                      "",
                      suggest(key, {state_->known.begin(), state_->known.end()})};
  }
  return Done{};
}

}  // namespace meshplan
