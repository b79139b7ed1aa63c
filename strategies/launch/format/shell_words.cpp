// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cctype>

#include "strategies/launch/format/shell.hpp"

namespace meshplan::launch {
namespace {

class Lexer {
 public:
  Lexer(const std::string& text, const std::string& name) : text_(text), name_(name) {}

  Result<std::vector<Statement>> all() {
    while (at_ < text_.size()) {
      MESHPLAN_CHECK(step());
    }
    close();
    return std::move(out_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  Diagnostic unfinished(const char* what, int line) const {
    return {ErrorKind::input, fmt::format("{} does not end", what),
            fmt::format("{}:{}", name_, line)};
  }

  Status step() {
    const char c = peek();
    if (c == '\\' && peek(1) == '\n') {
      at_ += 2;
      ++line_;
    } else if (c == '\n') {
      ++at_;
      if (!in_array_) close();
      ++line_;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++at_;
    } else if (c == '#') {
      while (at_ < text_.size() && peek() != '\n') ++at_;
    } else if (in_array_ && c == ')') {
      ++at_;
      in_array_ = false;
      out_.push_back(std::move(array_));
      array_ = {};
    } else if (c == ';' || c == '&' || c == '|' || c == '<' || c == '>') {
      // Inside [[ ]] these join conditions; elsewhere they end a command.
      const size_t width = peek(1) == c ? 2 : 1;
      if (in_condition())
        current_.words.push_back({text_.substr(at_, width), line_});
      else if (!in_array_ && c != '<' && c != '>')
        close();
      at_ += width;
    } else {
      return word();
    }
    return Done{};
  }

  bool in_condition() const {
    bool open = false;
    for (const Word& each : current_.words) {
      if (each.text == "[[" || each.text == "[") open = true;
      if (each.text == "]]" || each.text == "]") open = false;
    }
    return open;
  }

  void close() {
    if (!current_.words.empty()) out_.push_back(std::move(current_));
    current_ = {};
  }

  /// To the matching bracket, quotes inside skipped.
  Status nested(char open, char shut, std::string& into) {
    const int begin = line_;
    int depth = 0;
    do {
      if (at_ >= text_.size()) return unfinished("a bracket", begin);
      const char c = text_[at_++];
      if (c == '\n') ++line_;
      if (c == open) ++depth;
      if (c == shut) --depth;
      into += c;
    } while (depth > 0);
    return Done{};
  }

  Status word() {
    Word word{"", line_};
    const int begin = line_;
    while (at_ < text_.size()) {
      const char c = peek();
      if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ';' || c == '&' || c == '|' ||
          c == '<' || c == '>' || c == ')')
        break;
      if (c == '(') {
        const bool append = word.text.size() > 1 && word.text[word.text.size() - 2] == '+';
        if (in_array_ || word.text.empty() || word.text.back() != '=') {
          MESHPLAN_CHECK(nested('(', ')', word.text));
          continue;
        }
        ++at_;
        word.text.resize(word.text.size() - (append ? 2 : 1));
        array_ = {word.text, append, {}};
        in_array_ = true;
        return Done{};
      }
      if (c == '\\' && at_ + 1 < text_.size()) {
        if (peek(1) == '\n') break;
        word.text += text_.substr(at_, 2);
        at_ += 2;
      } else if (c == '\'' || c == '"') {
        word.text += c;
        ++at_;
        while (peek() != c) {
          if (at_ >= text_.size()) return unfinished("a quote", begin);
          if (peek() == '\n') ++line_;
          if (c == '"' && peek() == '\\' && at_ + 1 < text_.size()) word.text += text_[at_++];
          word.text += text_[at_++];
        }
        word.text += text_[at_++];
      } else if (c == '$' && peek(1) == '{') {
        word.text += text_[at_++];
        MESHPLAN_CHECK(nested('{', '}', word.text));
      } else if (c == '$' && peek(1) == '(') {
        word.text += text_[at_++];
        MESHPLAN_CHECK(nested('(', ')', word.text));
      } else {
        word.text += text_[at_++];
      }
    }
    if (word.text.empty()) {
      ++at_;  // a stray bracket
      return Done{};
    }
    (in_array_ ? array_.words : current_.words).push_back(std::move(word));
    return Done{};
  }

  const std::string& text_;
  const std::string& name_;
  size_t at_ = 0;
  int line_ = 1;
  bool in_array_ = false;
  Statement current_, array_;
  std::vector<Statement> out_;
};

}  // namespace

Result<std::vector<Statement>> split_statements(const std::string& text, const std::string& name) {
  return Lexer(text, name).all();
}

}  // namespace meshplan::launch
