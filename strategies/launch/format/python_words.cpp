// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cctype>

#include "strategies/launch/format/python.hpp"

namespace meshplan::launch {
namespace {

bool name_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

class Lexer {
 public:
  Lexer(const std::string& text, const std::string& name) : text_(text), name_(name) {}

  Result<std::vector<PythonLine>> all() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        ++at_;
        ++line_;
        if (depth_ == 0) close();
      } else if (c == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n') {
        at_ += 2;
        ++line_;
      } else if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
        ++at_;
      } else {
        MESHPLAN_CHECK(token());
      }
    }
    if (depth_ > 0)
      return Diagnostic{ErrorKind::input, "a bracket does not end",
                        fmt::format("{}:{}", name_, opened_)};
    close();
    return std::move(out_);
  }

 private:
  void close() {
    if (!current_.tokens.empty()) {
      current_.tokens.push_back({Token::Kind::end, "", line_});
      out_.push_back(std::move(current_));
    }
    current_ = {};
  }

  void put(Token::Kind kind, std::string text, int line) {
    if (current_.tokens.empty()) {
      size_t begin = at_;
      while (begin > 0 && text_[begin - 1] != '\n') --begin;
      size_t first = begin;
      while (first < text_.size() && text_[first] == ' ') ++first;
      current_.indent = static_cast<int>(first - begin);
      current_.line = line;
    }
    current_.tokens.push_back({kind, std::move(text), line});
  }

  Status token() {
    const char c = text_[at_];
    size_t end = at_;
    while (end < text_.size() && name_char(text_[end])) ++end;
    const bool quoted = end < text_.size() && (text_[end] == '"' || text_[end] == '\'');
    if (c == '"' || c == '\'') return quote("");
    if (quoted && end - at_ <= 2 && std::isalpha(static_cast<unsigned char>(c)) != 0) {
      const std::string prefix = text_.substr(at_, end - at_);
      at_ = end;
      return quote(prefix);
    }
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      std::string digits;
      while (end < text_.size() && (name_char(text_[end]) || text_[end] == '.' ||
                                    ((text_[end] == '-' || text_[end] == '+') &&
                                     (text_[end - 1] == 'e' || text_[end - 1] == 'E'))))
        ++end;
      for (size_t i = at_; i < end; ++i)
        if (text_[i] != '_') digits += text_[i];
      put(Token::Kind::number, digits, line_);
      at_ = end;
      return Done{};
    }
    if (name_char(c)) {
      put(Token::Kind::name, text_.substr(at_, end - at_), line_);
      at_ = end;
      return Done{};
    }
    static const std::string pairs = "** // == != <= >= -> := += -= *= |= ";
    const std::string two = text_.substr(at_, 2);
    const bool wide = two.size() == 2 && pairs.find(two + " ") != std::string::npos;
    if (c == '(' || c == '[' || c == '{') {
      if (depth_++ == 0) opened_ = line_;
    }
    if ((c == ')' || c == ']' || c == '}') && depth_ > 0) --depth_;
    put(Token::Kind::sign, wide ? two : std::string(1, c), line_);
    at_ += wide ? 2 : 1;
    return Done{};
  }

  /// A text that is put together at run time (f"...") is not known: no token text, kind end.
  Status quote(const std::string& prefix) {
    const int begin = line_;
    const char c = text_[at_];
    const bool triple = text_.compare(at_, 3, std::string(3, c)) == 0;
    const std::string shut(triple ? 3 : 1, c);
    size_t i = at_ + shut.size();
    std::string value;
    while (i < text_.size() && text_.compare(i, shut.size(), shut) != 0) {
      if (text_[i] == '\\' && i + 1 < text_.size()) ++i;
      if (text_[i] == '\n') {
        if (!triple) break;
        ++line_;
      }
      value += text_[i++];
    }
    if (text_.compare(i, shut.size(), shut) != 0)
      return Diagnostic{ErrorKind::input, "a text does not end",
                        fmt::format("{}:{}", name_, begin)};
    const bool known = prefix.find_first_of("fF") == std::string::npos;
    put(known ? Token::Kind::text : Token::Kind::name, known ? value : "?", begin);
    at_ = i + shut.size();
    return Done{};
  }

  const std::string& text_;
  const std::string& name_;
  size_t at_ = 0;
  int line_ = 1, depth_ = 0, opened_ = 0;
  PythonLine current_;
  std::vector<PythonLine> out_;
};

}  // namespace

Result<std::vector<PythonLine>> split_python(const std::string& text, const std::string& name) {
  return Lexer(text, name).all();
}

}  // namespace meshplan::launch
