// SPDX-License-Identifier: Apache-2.0
// What does a shell script come to? Words, variables, arrays and `if [[ ]]`; nothing is run.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan::launch {

struct Word {
  std::string text;
  int line = 0;
};
using Words = std::vector<Word>;

/// One command as it is written: words with their quotes, or `name=(...)`.
struct Statement {
  std::string array;  ///< name of the array that is set; empty for a command
  bool append = false;
  Words words;
};
/// Error (input): a quote or array does not end.
Result<std::vector<Statement>> split_statements(const std::string& text, const std::string& name);

class Shell {
 public:
  void run(const std::vector<Statement>& statements);
  std::vector<Words> commands;                        ///< expanded, in order
  std::vector<std::pair<std::string, Words>> arrays;  ///< in the order of definition
  std::map<std::string, Word> exported;

 private:
  Words expand(const Word& raw) const;
  std::string value(const std::string& name) const;
  std::string parameter(const std::string& inside) const;
  bool truth(const Words& condition, size_t begin, size_t end) const;
  bool assign(const Word& raw, bool exports);
  Words* array(const std::string& name);

  std::map<std::string, std::string> variables_;
};

/// Whole-number sums of + - * / and parentheses; nothing if it is something else.
std::optional<int64_t> arithmetic(const std::string& text);

}  // namespace meshplan::launch
