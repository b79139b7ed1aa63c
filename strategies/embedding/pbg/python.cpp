// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/pbg/python.hpp"

#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <map>
#include <optional>

namespace meshplan::graph {
namespace {

using Value = nlohmann::ordered_json;

struct Token {
  enum class Kind : uint8_t { name, number, string, sign, newline, end };
  Kind kind = Kind::end;
  std::string text;
  int line = 0;
  int column = 0;  ///< of the first character in its line
};

/// Words, literals and signs; line ends count outside of brackets only.
class Lexer {
 public:
  explicit Lexer(const std::string& text) : text_(text) {}
  std::vector<Token> run() {
    while (at_ < text_.size()) step();
    add(Token::Kind::newline, "\n");
    add(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  void add(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_, column_});
  }
  void step() {
    const char c = peek();
    column_ = static_cast<int>(at_ - line_begin_);
    if (c == '\n') {
      if (depth_ == 0) add(Token::Kind::newline, "\n");
      ++at_;
      next_line();
    } else if (c == '\\' && peek(1) == '\n') {
      at_ += 2;
      next_line();
    } else if (c == '#') {
      while (at_ < text_.size() && peek() != '\n') ++at_;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++at_;
    } else if (c == '"' || c == '\'') {
      string();
    } else if (std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_') {
      const size_t begin = at_;
      while (std::isalnum(static_cast<unsigned char>(peek())) != 0 || peek() == '_') ++at_;
      add(Token::Kind::name, text_.substr(begin, at_ - begin));
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 ||
               (c == '.' && std::isdigit(static_cast<unsigned char>(peek(1))) != 0)) {
      number();
    } else {
      if (c == '(' || c == '[' || c == '{') ++depth_;
      if ((c == ')' || c == ']' || c == '}') && depth_ > 0) --depth_;
      const bool twice = (c == '*' || c == '/') && peek(1) == c;
      add(Token::Kind::sign, text_.substr(at_, twice ? 2 : 1));
      at_ += twice ? 2 : 1;
    }
  }
  void next_line() {
    ++line_;
    line_begin_ = at_;
  }
  void number() {
    std::string digits;
    while (std::isalnum(static_cast<unsigned char>(peek())) != 0 || peek() == '.' ||
           peek() == '_' || ((peek() == '-' || peek() == '+') && (digits.back() | 32) == 'e')) {
      if (peek() != '_') digits += peek();
      ++at_;
    }
    add(Token::Kind::number, digits);
  }
  void string() {
    const char quote = peek();
    const bool triple = peek(1) == quote && peek(2) == quote;
    const int line = line_, column = column_;
    at_ += triple ? 3 : 1;
    std::string out;
    while (at_ < text_.size()) {
      if (peek() == quote && (!triple || (peek(1) == quote && peek(2) == quote))) break;
      if (peek() == '\\' && at_ + 1 < text_.size()) ++at_;
      if (peek() == '\n') {
        if (!triple) break;
        ++line_;
        line_begin_ = at_ + 1;
      }
      out += text_[at_++];
    }
    at_ += triple ? 3 : 1;
    tokens_.push_back({Token::Kind::string, std::move(out), line, column});
  }

  const std::string& text_;
  size_t at_ = 0, line_begin_ = 0;
  int line_ = 1, column_ = 0, depth_ = 0;
  std::vector<Token> tokens_;
};

class Reader {
 public:
  Reader(std::vector<Token> tokens, std::string file)
      : tokens_(std::move(tokens)), file_(std::move(file)) {}

  Result<PythonConfig> run(const std::string& function) {
    while (now().kind != Token::Kind::end) statement(function);
    if (!result_)
      return Diagnostic{.kind = ErrorKind::input,
                        .message = fmt::format("no dictionary that {}() returns", function),
                        .where = file_,
                        .hint = "def " + function + "(): return dict(...)"};
    return PythonConfig{*result_, unread_};
  }

 private:
  const Token& now(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool is(const char* text, size_t ahead = 0) const {
    return now(ahead).kind != Token::Kind::string && now(ahead).text == text;
  }
  bool take(const char* text) {
    if (!is(text)) return false;
    ++at_;
    return true;
  }
  void skip_line() {
    while (now().kind != Token::Kind::newline && now().kind != Token::Kind::end) ++at_;
    if (now().kind == Token::Kind::newline) ++at_;
  }

  void statement(const std::string& function) {
    if (now().kind == Token::Kind::newline) {
      ++at_;
      return;
    }
    if (now().column == 0 && !is("def")) inside_.clear();
    if (is("def")) {
      inside_ = now(1).text;
    } else if (is("return") && inside_ == function) {
      ++at_;
      const int line = now().line;
      if (auto value = expression(); value && value->is_object())
        result_ = std::move(value);
      else
        note(line, "return", "no dictionary of known values");
    } else if (now().kind == Token::Kind::name && is("=", 1) && !is("=", 2)) {
      const std::string name = now().text;
      at_ += 2;
      if (auto value = expression()) known_[name] = std::move(*value);
    }
    skip_line();
  }

  void note(int line, const std::string& key, const std::string& what) {
    unread_.push_back(fmt::format("line {}: {}: {}", line, key, what));
  }

  /// Past one expression that can't be read, up to the next comma or bracket of this level.
  void skip_expression() {
    for (int depth = 0; now().kind != Token::Kind::end; ++at_) {
      if (is("(") || is("[") || is("{")) ++depth;
      if (is(")") || is("]") || is("}")) {
        if (depth == 0) return;
        --depth;
      }
      if (depth == 0 && (is(",") || now().kind == Token::Kind::newline)) return;
    }
  }

  std::optional<Value> expression() {
    std::optional<Value> left = product();
    while (left && (is("+") || is("-"))) {
      const bool plus = is("+");
      ++at_;
      const auto right = product();
      if (!right) return {};
      if (plus && left->is_string() && right->is_string())
        left = left->get<std::string>() + right->get<std::string>();
      else
        left = arithmetic(*left, *right, plus ? '+' : '-');
    }
    return left;
  }
  std::optional<Value> product() {
    std::optional<Value> left = atom();
    while (left && (is("*") || is("/") || is("//") || is("**"))) {
      const std::string sign = now().text;
      ++at_;
      const auto right = atom();
      if (!right) return {};
      left = arithmetic(*left, *right, sign == "//" ? 'd' : sign == "**" ? '^' : sign[0]);
    }
    return left;
  }
  static std::optional<Value> arithmetic(const Value& a, const Value& b, char sign) {
    if (!a.is_number() || !b.is_number()) return {};
    const auto x = a.get<double>(), y = b.get<double>();
    const bool whole = a.is_number_integer() && b.is_number_integer() && sign != '/';
    if ((sign == '/' || sign == 'd') && y == 0) return {};
    const double value = sign == '+'   ? x + y
                         : sign == '-' ? x - y
                         : sign == '*' ? x * y
                         : sign == '/' ? x / y
                         : sign == 'd' ? std::floor(x / y)
                                       : std::pow(x, y);
    return whole && std::fabs(value) < 9e15 ? Value(static_cast<int64_t>(value)) : Value(value);
  }

  std::optional<Value> atom() {
    const Token token = now();
    if (token.kind == Token::Kind::string) {
      std::string text;
      while (now().kind == Token::Kind::string) {
        text += now().text;
        ++at_;
      }
      return Value(text);
    }
    if (token.kind == Token::Kind::number) {
      ++at_;
      const bool whole = token.text.find_first_not_of("0123456789") == std::string::npos;
      char* end = nullptr;
      const double value = std::strtod(token.text.c_str(), &end);
      if (*end != '\0') return {};
      return whole ? Value(static_cast<int64_t>(value)) : Value(value);
    }
    if (take("-")) {
      const auto value = atom();
      if (!value || !value->is_number()) return {};
      return arithmetic(Value(0), *value, '-');
    }
    if (take("{")) return braces();
    if (is("[") || is("(")) return sequence();
    if (token.kind != Token::Kind::name) return {};
    ++at_;
    if (token.text == "True") return Value(true);
    if (token.text == "False") return Value(false);
    if (token.text == "None") return Value(nullptr);
    if (token.text == "dict" && is("(")) return keywords();
    if (is("(") || is(".") || is("[") || now().kind == Token::Kind::string) return {};
    const auto found = known_.find(token.text);
    if (found == known_.end()) return {};
    return found->second;
  }

  /// Value of `key`; what can't be read is noted and left out.
  void entry(Value& out, const std::string& key) {
    const int line = now().line;
    const size_t begin = at_;
    auto value = expression();
    if (value && (is(",") || is(")") || is("}"))) {
      out[key] = std::move(*value);
      return;
    }
    at_ = begin;
    skip_expression();
    std::string text;
    for (size_t i = begin; i < at_; ++i) text += tokens_[i].text;
    note(line, key, text);
  }
  std::optional<Value> keywords() {
    Value out = Value::object();
    take("(");
    while (!take(")")) {
      if (now().kind != Token::Kind::name || !is("=", 1)) return {};
      const std::string key = now().text;
      at_ += 2;
      entry(out, key);
      if (!take(",") && !is(")")) return {};
    }
    return out;
  }
  std::optional<Value> braces() {
    Value out = Value::object();
    while (!take("}")) {
      if (now().kind != Token::Kind::string || !is(":", 1)) return {};
      const std::string key = now().text;
      at_ += 2;
      entry(out, key);
      if (!take(",") && !is("}")) return {};
    }
    return out;
  }
  /// A list, a tuple, or one value in brackets.
  std::optional<Value> sequence() {
    const bool list = is("[");
    ++at_;
    Value out = Value::array();
    bool comma = false;
    while (!take(list ? "]" : ")")) {
      auto value = expression();
      if (!value) return {};
      out.push_back(std::move(*value));
      const bool more = take(",");
      comma = comma || more;
      if (!more && !is(list ? "]" : ")")) return {};
    }
    if (!list && !comma && out.size() == 1) return Value(out[0]);
    return out;
  }

  std::vector<Token> tokens_;
  std::string file_, inside_;
  size_t at_ = 0;
  std::map<std::string, Value> known_;
  std::optional<Value> result_;
  std::vector<std::string> unread_;
};

}  // namespace

Result<PythonConfig> read_python_config(const std::string& text, const std::string& file,
                                        const std::string& function) {
  return Reader(Lexer(text).run(), file).run(function);
}

}  // namespace meshplan::graph
