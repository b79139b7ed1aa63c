// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "strategies/launch/format/formats.hpp"
#include "strategies/launch/format/python.hpp"

namespace meshplan::launch {
namespace {

bool numbers(const Json& a, const Json& b) { return a.is_number() && b.is_number(); }

Json computed(const Json& a, const std::string& sign, const Json& b) {
  if (sign == "+" && a.is_array() && b.is_array()) {
    Json out = a;
    out.insert(out.end(), b.begin(), b.end());
    return out;
  }
  if (sign == "*" && a.is_array() && b.is_number_integer()) {
    Json out = Json::array();
    const auto times = std::clamp<int64_t>(b.get<int64_t>(), 0, 4096);
    for (int64_t i = 0; i < times; ++i) out.insert(out.end(), a.begin(), a.end());
    return out;
  }
  if (sign == "+" && a.is_string() && b.is_string())
    return a.get<std::string>() + b.get<std::string>();
  if (!numbers(a, b)) return nullptr;
  if (a.is_number_integer() && b.is_number_integer() && sign != "/") {
    const auto x = a.get<int64_t>(), y = b.get<int64_t>();
    if (sign == "+") return x + y;
    if (sign == "-") return x - y;
    if (sign == "*") return x * y;
    if (sign == "//" && y != 0) return x / y;
    if (sign == "%" && y != 0) return x % y;
    if (sign == "**" && y >= 0 && y < 63) return static_cast<int64_t>(std::llround(std::pow(x, y)));
    return nullptr;
  }
  const auto x = a.get<double>(), y = b.get<double>();
  if (sign == "+") return x + y;
  if (sign == "-") return x - y;
  if (sign == "*") return x * y;
  if (sign == "/" && y != 0) return x / y;
  return nullptr;
}

/// Holds what only a run of the file could tell: results of calls, elements without a value.
bool holds_unknown(const Json& value) {
  if (value.is_object() && value.contains("()")) return true;
  if (!value.is_array() && !value.is_object()) return false;
  return std::any_of(value.begin(), value.end(), [&](const Json& each) {
    return (value.is_array() && each.is_null()) || holds_unknown(each);
  });
}

}  // namespace

const Token& PythonExpression::peek(size_t ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

bool PythonExpression::take(const char* sign) {
  if (peek().kind != Token::Kind::sign || peek().text != sign) return false;
  ++at_;
  return true;
}

/// To the comma or bracket that ends this value.
void PythonExpression::skip() {
  int depth = 0;
  for (; peek().kind != Token::Kind::end; ++at_) {
    if (peek().kind != Token::Kind::sign) continue;
    const std::string& sign = peek().text;
    if (sign == "(" || sign == "[" || sign == "{") ++depth;
    if (sign == ")" || sign == "]" || sign == "}") {
      if (depth == 0) return;
      --depth;
    }
    if (sign == "," && depth == 0) return;
  }
}

bool PythonExpression::entry(const std::string& key, Json& out) {
  const size_t begin = at_;
  out = value();
  if (unread_ == nullptr) return true;
  std::string text;
  for (size_t i = begin; i < at_; ++i) text += tokens_[i].text;
  const bool name = at_ > begin + 1 && tokens_[begin].kind == Token::Kind::name &&
                    out.is_string() && out.get<std::string>() == text;
  if (!name && !holds_unknown(out) && (!out.is_null() || text == "None")) return true;
  unread_->push_back(fmt::format("line {}: {}: {}", tokens_[begin].line, key, text));
  return false;
}

Json PythonExpression::value() {
  Json out = sum();
  const Token& next = peek();
  const bool ends =
      next.kind == Token::Kind::end || (next.kind == Token::Kind::sign &&
                                        (next.text == "," || next.text == ")" || next.text == "]" ||
                                         next.text == "}" || next.text == ":" || next.text == "="));
  if (ends) return out;
  skip();  // a comparison, a choice, a comprehension
  return nullptr;
}

Json PythonExpression::sum() {
  Json out = product();
  while (peek().kind == Token::Kind::sign && (peek().text == "+" || peek().text == "-")) {
    const std::string sign = tokens_[at_++].text;
    out = computed(out, sign, product());
  }
  return out;
}

Json PythonExpression::product() {
  Json out = unary();
  while (peek().kind == Token::Kind::sign &&
         (peek().text == "*" || peek().text == "/" || peek().text == "//" || peek().text == "%" ||
          peek().text == "**")) {
    const std::string sign = tokens_[at_++].text;
    out = computed(out, sign, unary());
  }
  return out;
}

Json PythonExpression::unary() {
  if (take("-")) return computed(0, "-", unary());
  if (take("+")) return unary();
  return atom();
}

Json PythonExpression::atom() {
  const Token token = peek();
  if (token.kind == Token::Kind::number) {
    ++at_;
    return scalar_of(token.text);
  }
  if (token.kind == Token::Kind::text) {
    std::string text = token.text;
    for (++at_; peek().kind == Token::Kind::text; ++at_) text += peek().text;
    return text;
  }
  if (token.kind == Token::Kind::sign) {
    if (take("(")) {
      Json inside = sequence(")");
      const bool one = inside.size() == 1 && tokens_[at_ - 2].text != ",";
      return one ? inside.front() : inside;
    }
    if (take("[")) return sequence("]");
    if (take("{")) return mapping();
    return nullptr;
  }
  if (token.kind != Token::Kind::name) return nullptr;
  ++at_;
  if (token.text == "True") return true;
  if (token.text == "False") return false;
  if (token.text == "None" || token.text == "?") return nullptr;
  const auto known = variables_.find(token.text);
  return behind(token.text, known != variables_.end() ? known->second : Json(nullptr));
}

/// Attributes and calls behind a name.
Json PythonExpression::behind(std::string name, Json value) {
  Json receiver;  ///< what a method is called on
  while (true) {
    if (peek().kind == Token::Kind::sign && peek().text == "." &&
        peek(1).kind == Token::Kind::name) {
      const std::string attribute = peek(1).text;
      at_ += 2;
      name += "." + attribute;
      receiver = value;
      value = value.is_object() && value.contains(attribute) ? value[attribute] : Json(nullptr);
    } else if (take("(")) {
      Json made = arguments(name);
      if (receiver.is_object()) {
        // What a method is told by name is no field of what it returns.
        Json told = Json::object();
        for (const auto& [key, each] : made.items())
          if (key[0] == '(') told[key] = each;
        told["self"] = std::move(receiver);
        made = std::move(told);
      }
      receiver = nullptr;
      value = call_ != nullptr ? call_(file_, name, made) : std::move(made);
    } else if (take("[")) {
      const Json inside = sequence("]");
      const Json key = inside.size() == 1 ? inside.front() : Json(nullptr);
      value = value.is_object() && key.is_string() && value.contains(key.get<std::string>())
                  ? value[key.get<std::string>()]
                  : Json(nullptr);
    } else {
      // A name that only stands for itself (torch.bfloat16, Trainer.Config): its last part.
      if (value.is_null() && name.find('.') != std::string::npos) return name;
      return value;
    }
  }
}

Json PythonExpression::arguments(std::string name) {
  Json out = {{"()", std::move(name)}};
  for (int position = 0; peek().kind != Token::Kind::end && !take(")");) {
    if (take(",")) continue;
    const int line = peek().line;
    if (peek().kind == Token::Kind::name && peek(1).kind == Token::Kind::sign &&
        peek(1).text == "=") {
      const std::string key = peek().text;
      at_ += 2;
      Json each;
      if (entry(key, each)) {
        out[key] = std::move(each);
        out["#" + key] = line;
      }
    } else {
      if (take("*") || take("**")) {
        skip();
        continue;
      }
      const std::string key = fmt::format("({})", position++);
      out[key] = value();
      out["#" + key] = line;
    }
    if (!take(",") && !(peek().kind == Token::Kind::sign && peek().text == ")")) skip();
  }
  return out;
}

Json PythonExpression::sequence(const char* shut) {
  Json out = Json::array();
  while (peek().kind != Token::Kind::end && !take(shut)) {
    if (take(",")) continue;
    const size_t before = at_;
    out.push_back(value());
    if (at_ == before) ++at_;
  }
  return out;
}

Json PythonExpression::mapping() {
  Json out = Json::object();
  while (peek().kind != Token::Kind::end && !take("}")) {
    if (take(",")) continue;
    const int line = peek().line;
    const size_t before = at_;
    const Json key = value();
    if (take(":")) {
      Json each;
      if (entry(key.is_string() ? key.get<std::string>() : "?", each) && key.is_string()) {
        out["#" + key.get<std::string>()] = line;
        out[key.get<std::string>()] = std::move(each);
      }
    }
    if (at_ == before) ++at_;
  }
  return out;
}

}  // namespace meshplan::launch
