// SPDX-License-Identifier: Apache-2.0
// How is a trainer's file turned into settings? One reader a format; none of them runs anything.
#pragma once
#include <string>

#include "strategies/launch/settings.hpp"

namespace meshplan::launch {

/// Number, true, false, null, or text as YAML 1.2 tells them apart.
Json scalar_of(const std::string& text);

/// YAML or JSON. Nested keys are joined by dots; lists stay values.
/// Error (input): malformed, with line; not a mapping.
Result<Settings> read_tree(const std::string& text, const std::string& name);

/// TOML, the same way.
Result<Settings> read_toml(const std::string& text, const std::string& name);

/// Flags of the training command of a shell script: of the last command that runs a .py file, else
/// of all arrays together. Variables, arrays, ${X:-default}, $((sums)) and `if [[ ]]` are followed;
/// what a running shell would have to say ($1, $(command)) is empty. A flag without a value is
/// true. "env.NAME": exported; "launcher.name": flags of what starts the .py file and of #SBATCH.
/// Error (input): a quote or array that does not end, with line; no flags at all.
Result<Settings> read_shell(const std::string& text, const std::string& name);

/// Assignments, calls and what a function returns, of a Python file that only builds values:
/// `config.a = B(c=1)` gives "a" = "B" (the call's name) and "a.c" = 1. `entry`: the function to
/// read; empty: the last one that returns something. Sums and products of numbers are computed; a
/// value that is not known is null. Functions of the same file that a value comes from are read
/// too. "call.NAME": a call that a value begins with, its arguments below.
/// Error (input): malformed, with line; no such function.
Result<Settings> read_python(const std::string& text, const std::string& name,
                             const std::string& entry);

/// The dictionary that a function of a Python file returns. What could not be known without running
/// it is left out and noted: "line 4: key: text".
struct PythonDictionary {
  Json values;  ///< an object
  std::vector<std::string> unread;
};
/// Error (input): malformed, with line; there is no such dictionary.
Result<PythonDictionary> read_python_dictionary(const std::string& text, const std::string& name,
                                                const std::string& function);

}  // namespace meshplan::launch
