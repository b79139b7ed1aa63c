// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/format/shell.hpp"

#include <fmt/format.h>

#include <sstream>

#include "strategies/launch/format/formats.hpp"

namespace meshplan::launch {
namespace {

bool is_flag(const std::string& word) {
  return word.size() > 2 && word[0] == '-' && word[1] == '-';
}

/// "section.key=value" (Hydra)
bool is_override(const std::string& word) {
  const size_t equals = word.find('=');
  if (equals == std::string::npos || equals == 0) return false;
  return word.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") == equals;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// "--a 1 2 --b" -> a: [1, 2], b: true
void add_flags(const Words& words, size_t begin, size_t end, const std::string& prefix,
               Settings& out) {
  for (size_t i = begin; i < end; ++i) {
    if (prefix.empty() && is_override(words[i].text)) {
      const size_t equals = words[i].text.find('=');
      out.add(words[i].text.substr(0, equals), scalar_of(words[i].text.substr(equals + 1)),
              words[i].line);
    }
    if (!is_flag(words[i].text)) continue;
    const std::string& word = words[i].text;
    const size_t equals = word.find('=');
    std::string key = word.substr(0, equals);
    if (!prefix.empty()) {
      key.replace(0, 2, prefix);
      for (char& c : key)
        if (c == '_') c = '-';
    }
    Json values = Json::array();
    if (equals != std::string::npos) values.push_back(scalar_of(word.substr(equals + 1)));
    size_t next = i + 1;
    for (; equals == std::string::npos && next < end && !is_flag(words[next].text) &&
           !is_override(words[next].text);
         ++next)
      values.push_back(scalar_of(words[next].text));
    Json value = values.empty() ? Json(true) : values.size() == 1 ? values.front() : values;
    out.add(key, std::move(value), words[i].line);
  }
}

}  // namespace

Result<Settings> read_shell(const std::string& text, const std::string& name) {
  MESHPLAN_TRY(const std::vector<Statement> statements, split_statements(text, name));
  Shell shell;
  shell.run(statements);
  Settings out(name);
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.rfind("#SBATCH", 0) != 0) continue;
    Words words;
    std::istringstream parts(line.substr(7));
    for (std::string part; parts >> part;) words.push_back({part, number});
    add_flags(words, 0, words.size(), "launcher.", out);
  }
  for (const auto& [variable, word] : shell.exported)
    out.add("env." + variable, scalar_of(word.text), word.line);

  const Words* chosen = nullptr;
  size_t script = 0;
  for (const Words& words : shell.commands)
    for (size_t i = 0; i < words.size(); ++i)
      if (ends_with(words[i].text, ".py") && i + 1 < words.size() && !is_flag(words[0].text) &&
          (i == 0 || !is_flag(words[i - 1].text) || words[i - 1].text.size() < 3)) {
        chosen = &words;
        script = i;
        break;
      }
  const size_t before = out.all().size();
  if (chosen != nullptr) {
    add_flags(*chosen, 0, script, "launcher.", out);
    add_flags(*chosen, script + 1, chosen->size(), "", out);
  } else {
    for (const auto& [array, words] : shell.arrays) add_flags(words, 0, words.size(), "", out);
  }
  if (out.all().size() == before)
    return Diagnostic{ErrorKind::input,
                      "no training command with flags was found",
                      name,
                      {},
                      {},
                      "a command that runs a .py file, or arrays of flags"};
  return out;
}

}  // namespace meshplan::launch
