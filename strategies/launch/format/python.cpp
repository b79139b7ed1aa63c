// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/format/python.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "strategies/launch/format/formats.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::launch {
namespace {

constexpr int kDeepest = 16;  ///< calls of functions of the same file inside each other

bool is(const Token& token, const char* text) { return token.text == text; }

class File {
 public:
  explicit File(std::vector<PythonLine> lines, std::vector<std::string>* unread = nullptr)
      : lines_(std::move(lines)), unread_(unread) {
    for (size_t i = 0; i < lines_.size(); ++i) {
      const auto& t = lines_[i].tokens;
      if (lines_[i].indent == 0 && t.size() > 2 && is(t[0], "def")) functions_[t[1].text] = i;
    }
  }

  const std::map<std::string, size_t>& functions() const { return functions_; }

  /// What a function returns; null when nothing.
  Json run(const std::string& name, const Json& arguments) {
    if (depth_ >= kDeepest) return nullptr;
    ++depth_;
    Variables variables = globals_;
    const size_t head = functions_.at(name);
    bind(lines_[head], arguments, variables);
    size_t end = head + 1;
    while (end < lines_.size() && lines_[end].indent > 0) ++end;
    Json out = block(head + 1, end, variables);
    --depth_;
    return out;
  }

  void run_top_level() {
    for (const PythonLine& line : lines_)
      if (line.indent == 0) assign(line, globals_);
  }

 private:
  static Json call(void* file, const std::string& name, const Json& arguments) {
    auto* self = static_cast<File*>(file);
    if (name == "dict") return without_name(arguments);
    const bool converts = name == "float" || name == "int" || name == "str" || name == "bool";
    if (converts && arguments.contains("(0)")) return arguments["(0)"];
    if (self->functions_.count(name) == 0) return arguments;
    const Json out = self->run(name, arguments);
    return out.is_null() ? arguments : out;
  }

  static Json without_name(Json value) {
    value.erase("()");
    return value;
  }

  PythonExpression expression(const PythonLine& line, size_t at, const Variables& variables) {
    return {line.tokens, at, variables, &File::call, this, unread_};
  }

  void bind(const PythonLine& head, const Json& arguments, Variables& variables) {
    int position = 0;
    const auto& t = head.tokens;
    for (size_t i = 3; i < t.size() && !is(t[i], ")");) {
      if (t[i].kind != Token::Kind::name) {
        ++i;
        continue;
      }
      const std::string parameter = t[i].text;
      int depth = 0;
      for (++i; i < t.size(); ++i) {  // over the annotation
        if (depth == 0 && (is(t[i], "=") || is(t[i], ",") || is(t[i], ")"))) break;
        if (is(t[i], "[") || is(t[i], "(")) ++depth;
        if (is(t[i], "]") || is(t[i], ")")) --depth;
      }
      Json value = nullptr;
      if (i < t.size() && is(t[i], "=")) {
        PythonExpression reader = expression(head, i + 1, variables);
        value = reader.value();
        i = reader.at();
      }
      const std::string at = fmt::format("({})", position++);
      if (arguments.contains(parameter)) value = arguments[parameter];
      if (arguments.contains(at)) value = arguments[at];
      variables[parameter] = value;
    }
  }

  Json block(size_t begin, size_t end, Variables& variables) {
    Json out = nullptr;
    int skipped = -1;  ///< indentation of a branch that is not taken
    for (size_t i = begin; i < end; ++i) {
      const PythonLine& line = lines_[i];
      if (skipped >= 0 && line.indent > skipped) continue;
      skipped = -1;
      const auto& t = line.tokens;
      if (is(t[0], "if") || is(t[0], "elif") || is(t[0], "else") || is(t[0], "for") ||
          is(t[0], "while") || is(t[0], "def") || is(t[0], "class") || is(t[0], "with")) {
        const bool taken = is(t[0], "if") && expression(line, 1, variables).value() == Json(true);
        if (!taken) skipped = line.indent;
        continue;
      }
      if (is(t[0], "return")) {
        out = expression(line, 1, variables).value();
        break;
      }
      assign(line, variables);
    }
    return out;
  }

  /// name = value, name: type = value, name.a.b = value, name["a"] = value
  void assign(const PythonLine& line, Variables& variables) {
    const auto& t = line.tokens;
    if (t[0].kind != Token::Kind::name) return;
    std::vector<std::string> path;
    size_t i = 1;
    for (; i + 1 < t.size(); i += 2) {
      if (is(t[i], ".") && t[i + 1].kind == Token::Kind::name) {
        path.push_back(t[i + 1].text);
      } else if (is(t[i], "[") && t[i + 1].kind == Token::Kind::text && is(t[i + 2], "]")) {
        path.push_back(t[i + 1].text);
        ++i;
      } else {
        break;
      }
    }
    if (is(t[i], ":"))
      while (i + 1 < t.size() && !is(t[i], "=")) ++i;
    if (!is(t[i], "=")) return;
    Json value;
    PythonExpression reader = expression(line, i + 1, variables);
    // What is only a variable is noted where it is used.
    if (path.empty())
      value = reader.value();
    else if (!reader.entry(path.back(), value))
      return;
    Json* target = &variables[t[0].text];
    for (const std::string& part : path) {
      if (!target->is_object()) *target = Json::object();
      (*target)["#" + part] = line.line;
      target = &(*target)[part];
    }
    *target = std::move(value);
  }

  std::vector<PythonLine> lines_;
  std::map<std::string, size_t> functions_;
  Variables globals_;
  std::vector<std::string>* unread_;
  int depth_ = 0;
};

/// Lists of calls and the like stay values, without the notes of their lines.
Json plain(const Json& value) {
  Json out = value;
  if (value.is_array())
    for (Json& each : out) each = plain(each);
  if (!value.is_object()) return out;
  out = Json::object();
  for (const auto& [key, each] : value.items())
    if (key[0] != '#') out[key] = plain(each);
  return out;
}

void flatten(const Json& value, const std::string& prefix, int line, Settings& out) {
  for (const auto& [key, each] : value.items()) {
    if (key[0] == '#') continue;
    const auto noted = value.find("#" + key);
    const int at = noted != value.end() ? noted->get<int>() : line;
    if (key == "()") {
      out.add(prefix.empty() ? "()" : prefix.substr(0, prefix.size() - 1), each, at);
    } else if (each.is_object()) {
      flatten(each, prefix + key + ".", at, out);
    } else {
      out.add(prefix + key, plain(each), at);
    }
  }
}

}  // namespace

Result<PythonDictionary> read_python_dictionary(const std::string& text, const std::string& name,
                                                const std::string& function) {
  MESHPLAN_TRY(std::vector<PythonLine> lines, split_python(text, name));
  PythonDictionary out;
  File file(std::move(lines), &out.unread);
  file.run_top_level();
  if (file.functions().count(function) > 0) out.values = plain(file.run(function, Json::object()));
  if (out.values.is_object()) return out;
  return Diagnostic{.kind = ErrorKind::input,
                    .message = fmt::format("no dictionary that {}() returns", function),
                    .where = name,
                    .hint = "def " + function + "(): return dict(...)"};
}

Result<Settings> read_python(const std::string& text, const std::string& name,
                             const std::string& entry) {
  MESHPLAN_TRY(std::vector<PythonLine> lines, split_python(text, name));
  File file(std::move(lines));
  std::vector<std::pair<size_t, std::string>> order;
  std::vector<std::string> names;
  for (const auto& [function, line] : file.functions()) {
    order.emplace_back(line, function);
    names.push_back(function);
  }
  std::sort(order.rbegin(), order.rend());
  if (!entry.empty() && file.functions().count(entry) == 0)
    return Diagnostic{ErrorKind::usage,     "the file has no such function", "--entry", entry, {},
                      suggest(entry, names)};
  file.run_top_level();
  for (const auto& [line, function] : order) {
    if (!entry.empty() && function != entry) continue;
    const Json value = file.run(function, Json::object());
    if (!value.is_object()) continue;
    Settings out(name);
    flatten(value, "", 0, out);
    return out;
  }
  return Diagnostic{ErrorKind::input,
                    "no function of the file returns a configuration",
                    name,
                    {},
                    {},
                    entry.empty() ? "" : "--entry names the function"};
}

}  // namespace meshplan::launch
