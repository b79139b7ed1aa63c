// SPDX-License-Identifier: Apache-2.0
// How do arguments become options, and what does the user see when they do not?
#pragma once
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "planner/cli/command.hpp"
#include "planner/report/sheet.hpp"
#include "topologies/base/result.hpp"

namespace meshplan::cli {

using report::Json;

/// Exit code to return at once (help was printed: 0), or nothing when `app` holds the options.
/// Error (usage): unknown flag with the nearest one, or what CLI11 objects to.
Result<std::optional<int>> parse(CLI::App& app, const Arguments& arguments);

/// Text on standard error; with --json also {"schema":"meshplan.error/1","error":{...}} on standard
/// output. Returns the exit code of the contract.
int fail(const Diagnostic& diagnostic, bool json);
/// "warning: ..." or "note: ..." on standard error.
void warn(const std::string& text);
void note(const std::string& text);

/// Results; the only ways to standard output.
void print(const std::string& text);
void print(const Json& document);

/// Whole number with optional thousands separators. Error (usage) names the flag.
Result<int64_t> whole_number(const std::string& text, const std::string& flag, int64_t least = 1);

bool wants_json(const Arguments& arguments);

}  // namespace meshplan::cli

/// Inside a command: prints the error and returns its exit code.
#define MESHPLAN_CLI_TRY_(tmp, lhs, expr, json)                   \
  auto tmp = (expr);                                              \
  if (!tmp.ok()) return ::meshplan::cli::fail(tmp.error(), json); \
  lhs = std::move(tmp).value()
#define MESHPLAN_CLI_TRY(lhs, expr, json) \
  MESHPLAN_CLI_TRY_(MESHPLAN_CONCAT(try_, __COUNTER__), lhs, expr, json)
/// Parses, or leaves with the code for help or a usage error.
#define MESHPLAN_CLI_PARSE(app, arguments)                                                \
  if (auto parsed = ::meshplan::cli::parse(app, arguments); !parsed.ok())                 \
    return ::meshplan::cli::fail(parsed.error(), ::meshplan::cli::wants_json(arguments)); \
  else if (parsed.value())                                                                \
  return *parsed.value()
