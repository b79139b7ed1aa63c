// SPDX-License-Identifier: Apache-2.0
// Lines and words of a Python file, and the values that expressions have.
//
// A value is a Json; an object that a call made has the callee's name under "()", its arguments
// under their names or "(0)", "(1)"; "#name" holds the line of `name`. What cannot be known
// without running Python is null.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "strategies/launch/settings.hpp"
#include "topologies/base/result.hpp"

namespace meshplan::launch {

struct Token {
  enum class Kind { name, number, text, sign, end } kind = Kind::end;
  std::string text;
  int line = 0;
};

/// One logical line: what brackets join stands together.
struct PythonLine {
  int indent = 0;
  int line = 0;
  std::vector<Token> tokens;  ///< ends with Kind::end
};

/// Error (input): a bracket or text does not end.
Result<std::vector<PythonLine>> split_python(const std::string& text, const std::string& name);

using Variables = std::map<std::string, Json>;

/// Reads expressions of one line; calls of functions in the same file are made by the caller.
class PythonExpression {
 public:
  using Call = Json (*)(void* file, const std::string& name, const Json& arguments);
  /// unread: where entries of calls and dictionaries are noted that are not known ("line 4: key:
  /// text"), and then left out; null: they are null.
  PythonExpression(const std::vector<Token>& tokens, size_t at, const Variables& variables,
                   Call call, void* file, std::vector<std::string>* unread)
      : tokens_(tokens),
        at_(at),
        variables_(variables),
        call_(call),
        file_(file),
        unread_(unread) {}
  Json value();  ///< null where it is not known
  /// The value of `key`, noted where it is not known; true if it is to be kept.
  bool entry(const std::string& key, Json& value);
  size_t at() const { return at_; }

 private:
  const Token& peek(size_t ahead = 0) const;
  bool take(const char* sign);
  Json sum();
  Json product();
  Json unary();
  Json atom();
  Json behind(std::string name, Json value);
  Json arguments(std::string name);
  Json sequence(const char* shut);
  Json mapping();
  void skip();

  const std::vector<Token>& tokens_;
  size_t at_;
  const Variables& variables_;
  Call call_;
  void* file_;
  std::vector<std::string>* unread_;
};

}  // namespace meshplan::launch
