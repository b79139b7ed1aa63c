// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/parse.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "topologies/base/nearest.hpp"

namespace meshplan::cli {
namespace {

/// "--tp=8" -> "--tp"
std::string flag_of(const std::string& argument) { return argument.substr(0, argument.find('=')); }

bool colour() {
  const char* none = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && (none == nullptr || *none == '\0') &&
         (term == nullptr || std::string(term) != "dumb");
}

void complain(const char* kind, const char* sgr, const std::string& rest) {
  if (colour())
    std::cerr << sgr << kind << "\033[0m" << rest;
  else
    std::cerr << kind << rest;
  std::cerr.flush();
}

std::vector<std::string> long_flags(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::Option* option : app.get_options())
    for (const auto& name : option->get_lnames()) out.push_back("--" + name);
  return out;
}

}  // namespace

Result<std::optional<int>> parse(CLI::App& app, const Arguments& arguments) {
  // Looked for before CLI11 sees them: its own answer knows no nearest name.
  const std::vector<std::string> known = long_flags(app);
  for (const auto& argument : arguments) {
    if (argument.size() < 3 || argument.compare(0, 2, "--") != 0) continue;
    const std::string flag = flag_of(argument);
    if (std::find(known.begin(), known.end(), flag) == known.end())
      return Diagnostic{.kind = ErrorKind::usage,
                        .message = fmt::format("unknown flag of '{}'", app.get_name()),
                        .value = flag,
                        .hint = suggest(flag, known)};
  }
  Arguments reversed(arguments.rbegin(), arguments.rend());  // CLI11 takes them from the end
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return std::optional<int>(0);
  } catch (const CLI::ParseError& error) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = message,
                      .hint = fmt::format("{} --help", app.get_name())};
  }
  return std::optional<int>();
}

int fail(const Diagnostic& diagnostic, bool json) {
  const std::string text = render(diagnostic);
  constexpr size_t kPrefix = 6;  // "error:"
  complain("error:", "\033[1;31m", text.substr(kPrefix));
  const int code = static_cast<int>(diagnostic.kind);
  if (json) {
    Json error = {{"exit_code", code},         {"message", diagnostic.message},
                  {"where", diagnostic.where}, {"value", diagnostic.value},
                  {"rule", diagnostic.rule},   {"hint", diagnostic.hint},
                  {"notes", diagnostic.notes}};
    print(Json{{"schema", "meshplan.error/1"}, {"error", std::move(error)}});
  }
  return code;
}

void warn(const std::string& text) { complain("warning:", "\033[1;33m", " " + text + "\n"); }
void note(const std::string& text) { complain("note:", "\033[1m", " " + text + "\n"); }

void print(const std::string& text) { std::cout << text << std::flush; }
void print(const Json& document) { std::cout << document.dump(1) << '\n' << std::flush; }

Result<int64_t> whole_number(const std::string& text, const std::string& flag, int64_t least) {
  std::string digits;
  for (char c : text)
    if (c != ',' && c != '_') digits += c;
  const bool number = !digits.empty() && digits.size() <= 18 &&
                      digits.find_first_not_of("0123456789") == std::string::npos;
  const int64_t value = number ? std::stoll(digits) : -1;
  if (number && value >= least) return value;
  return Diagnostic{.kind = ErrorKind::usage,
                    .message = fmt::format("expected a whole number of {} or more", least),
                    .where = flag,
                    .value = text};
}

bool wants_json(const Arguments& arguments) {
  return std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
}

}  // namespace meshplan::cli
