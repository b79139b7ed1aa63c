// SPDX-License-Identifier: Apache-2.0
// What went wrong, where, with which value, by which rule, and what is the nearest fix?
// The one error type of the library; the command line turns `kind` into the exit code.
#pragma once
#include <string>
#include <vector>

namespace meshplan {

/// Values are the process exit codes of the command-line contract.
enum class ErrorKind {
  internal = 1,  ///< a bug of ours
  usage = 2,     ///< misspelt flag, bundled name, or a value that no command accepts
  no_plan = 3,   ///< understood, but a rule refuses the plan or nothing fits
  input = 4,     ///< an input file is missing, unreadable or does not match its schema
  check = 5,     ///< a check failed (trainer rule, accuracy gate)
  missing = 6,   ///< needed hardware or library is absent
};

struct Diagnostic {
  ErrorKind kind = ErrorKind::internal;
  std::string message;             ///< one sentence without full stop: what is wrong
  std::string where;               ///< "file.yaml:12: key" or "--tp"; may be empty
  std::string value;               ///< the offending value as typed; may be empty
  std::string rule;                ///< id of the rule and who imposes it; may be empty
  std::string hint;                ///< nearest fix; may be empty
  std::vector<std::string> notes;  ///< further lines, e.g. legal values
};

/// Lines "error: message", "  where  ...", "  value  ...", "  rule  ...", "  hint  ...".
std::string render(const Diagnostic& diagnostic);

/// Same diagnostic with `where` put in front of the one it already has.
Diagnostic at(Diagnostic diagnostic, const std::string& where);

}  // namespace meshplan
