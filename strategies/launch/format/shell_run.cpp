// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <sstream>

#include "strategies/launch/format/shell.hpp"

namespace meshplan::launch {
namespace {

bool is_name(const std::string& text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) != 0) return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

class Sum {
 public:
  explicit Sum(const std::string& text) : text_(text) {}
  std::optional<int64_t> value() {
    const int64_t out = terms();
    skip();
    if (wrong_ || at_ != text_.size()) return std::nullopt;
    return out;
  }

 private:
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  int64_t terms() {
    int64_t out = factors();
    while (!wrong_) {
      if (take('+'))
        out += factors();
      else if (take('-'))
        out -= factors();
      else
        break;
    }
    return out;
  }
  int64_t factors() {
    int64_t out = atom();
    while (!wrong_) {
      if (take('*')) {
        out *= atom();
      } else if (take('/')) {
        const int64_t by = atom();
        wrong_ = wrong_ || by == 0;
        if (!wrong_) out /= by;
      } else {
        break;
      }
    }
    return out;
  }
  int64_t atom() {
    if (take('(')) {
      const int64_t out = terms();
      wrong_ = wrong_ || !take(')');
      return out;
    }
    skip();
    const size_t begin = at_;
    while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    if (at_ == begin || at_ - begin > 15) {
      wrong_ = true;
      return 0;
    }
    return std::stoll(text_.substr(begin, at_ - begin));
  }

  const std::string& text_;
  size_t at_ = 0;
  bool wrong_ = false;
};

}  // namespace

std::optional<int64_t> arithmetic(const std::string& text) { return Sum(text).value(); }

std::string Shell::value(const std::string& name) const {
  if (const auto found = variables_.find(name); found != variables_.end()) return found->second;
  for (const auto& [array, words] : arrays)
    if (array == name && !words.empty()) return words.front().text;
  return "";
}

/// The inside of ${...}: a name, with a default behind it.
std::string Shell::parameter(const std::string& inside) const {
  const size_t end = std::min(inside.find_first_of(":-=+?%#/["), inside.size());
  const std::string name = inside.substr(0, end);
  std::string set = value(name);
  if (end == inside.size() || !set.empty()) return set;
  const size_t dash = inside.find_first_of("-=", end);
  if (dash == std::string::npos || dash > end + 1) return set;
  std::string out;
  for (const Word& word : expand({inside.substr(dash + 1), 0}))
    out += (out.empty() ? "" : " ") + word.text;
  return out;
}

Words* Shell::array(const std::string& name) {
  for (auto& [known, words] : arrays)
    if (known == name) return &words;
  return nullptr;
}

Words Shell::expand(const Word& raw) const {
  Words out;
  Word current{"", raw.line};
  bool quoted = false, any = false;
  char quote = 0;
  const auto flush = [&] {
    if (any || quoted) out.push_back(current);
    current = {"", raw.line};
    any = quoted = false;
  };
  const auto put = [&](const std::string& text) {  // an unquoted value falls into words
    if (quote == '"') {
      current.text += text;
      any = any || !text.empty();
      return;
    }
    for (const char c : text) {
      if (std::isspace(static_cast<unsigned char>(c)) != 0) {
        flush();
      } else {
        current.text += c;
        any = true;
      }
    }
  };
  const std::string& t = raw.text;
  for (size_t i = 0; i < t.size(); ++i) {
    const char c = t[i];
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
      quoted = true;
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < t.size()) {
      current.text += t[++i];
      any = true;
    } else if (c == '$' && quote != '\'' && i + 1 < t.size()) {
      if (t.compare(i, 3, "$((") == 0) {
        const size_t end = t.find("))", i);
        std::string sum, inside = t.substr(i + 3, end == std::string::npos ? end : end - i - 3);
        for (size_t k = 0; k < inside.size();) {  // names need no $ here
          size_t stop = k;
          while (
              stop < inside.size() &&
              (std::isalnum(static_cast<unsigned char>(inside[stop])) != 0 || inside[stop] == '_'))
            ++stop;
          const std::string name = inside.substr(k, stop - k);
          if (is_name(name))
            sum += value(name);
          else if (stop > k)
            sum += name;
          else if (inside[k] != '$' && inside[k] != '{' && inside[k] != '}')
            sum += inside[k];
          k = std::max(stop, k + 1);
        }
        const auto number = arithmetic(sum);
        put(number ? std::to_string(*number) : "");
        i = end == std::string::npos ? t.size() : end + 1;
      } else if (t[i + 1] == '(') {
        int depth = 0;
        for (++i; i < t.size(); ++i) {
          if (t[i] == '(') ++depth;
          if (t[i] == ')' && --depth == 0) break;
        }
      } else if (t[i + 1] == '{') {
        const size_t end = std::min(t.find('}', i), t.size() - 1);
        const std::string inside = t.substr(i + 2, end - i - 2);
        const size_t all =
            inside.find("[@]") != std::string::npos ? inside.find("[@]") : inside.find("[*]");
        i = end;
        if (all == std::string::npos) {
          put(parameter(inside));
          continue;
        }
        for (const auto& [name, words] : arrays) {
          if (name != inside.substr(0, all)) continue;
          for (const Word& word : words) {
            const int line = current.line;
            current.line = word.line;
            const bool whole = quote == '"';
            put(word.text);
            if (whole) any = true;
            current.line = word.line;
            flush();
            current.line = line;
          }
          quoted = false;
        }
      } else {
        size_t end = i + 1;
        while (end < t.size() &&
               (std::isalnum(static_cast<unsigned char>(t[end])) != 0 || t[end] == '_'))
          ++end;
        if (end == i + 1 && end < t.size()) ++end;  // $@, $?
        put(value(t.substr(i + 1, end - i - 1)));
        i = end - 1;
      }
    } else {
      current.text += c;
      any = true;
    }
  }
  flush();
  return out;
}

bool Shell::assign(const Word& raw, bool exports) {
  const size_t equals = raw.text.find('=');
  if (equals == std::string::npos || equals == 0) return false;
  const bool append = raw.text[equals - 1] == '+';
  const std::string name = raw.text.substr(0, append ? equals - 1 : equals);
  if (!is_name(name)) return false;
  std::string joined;
  for (const Word& word : expand({raw.text.substr(equals + 1), raw.line}))
    joined += (joined.empty() ? "" : " ") + word.text;
  variables_[name] = append ? variables_[name] + joined : joined;
  if (exports || exported.count(name) > 0) exported[name] = {variables_[name], raw.line};
  return true;
}

bool Shell::truth(const Words& words, size_t begin, size_t end) const {
  const auto text = [&](size_t i) {
    const Words out = expand(words[i]);
    return out.empty() ? std::string() : out.front().text;
  };
  bool result = false, negate = false;
  std::string join;
  for (size_t i = begin; i < end;) {
    const std::string& word = words[i].text;
    bool one = false;
    if (word == "[[" || word == "]]" || word == "[" || word == "]" || word == "then") {
      ++i;
      continue;
    }
    if (word == "!") {
      negate = true;
      ++i;
      continue;
    }
    if (word == "||" || word == "&&") {
      join = word;
      ++i;
      continue;
    }
    if (word[0] == '-' && i + 1 < end) {  // -z, -n; of files nothing is known: absent
      const std::string value = text(i + 1);
      one = word == "-z" ? value.empty() : word == "-n" && !value.empty();
      i += 2;
    } else if (i + 2 < end && words[i + 1].text != "||" && words[i + 1].text != "&&") {
      const std::string left = text(i), by = words[i + 1].text, right = text(i + 2);
      const auto a = arithmetic(left), b = arithmetic(right);
      if (by == "==" || by == "=" || by == "-eq") one = left == right;
      if (by == "!=" || by == "-ne") one = left != right;
      if (a && b && by == "-gt") one = *a > *b;
      if (a && b && by == "-lt") one = *a < *b;
      if (a && b && by == "-ge") one = *a >= *b;
      i += 3;
    } else {
      one = text(i) == "true";
      ++i;
    }
    one = one != negate;
    negate = false;
    result = join == "||" ? result || one : join == "&&" ? result && one : one;
  }
  return result;
}

void Shell::run(const std::vector<Statement>& statements) {
  struct Branch {
    bool active, taken;
  };
  std::vector<Branch> branches;
  const auto active = [&] {
    return std::all_of(branches.begin(), branches.end(), [](const Branch& b) { return b.active; });
  };
  for (const Statement& statement : statements) {
    if (!statement.array.empty()) {
      if (!active()) continue;
      Words words;
      for (const Word& raw : statement.words)
        for (Word& word : expand(raw)) words.push_back(std::move(word));
      Words* known = array(statement.array);
      if (known == nullptr)
        arrays.emplace_back(statement.array, std::move(words));
      else if (statement.append)
        known->insert(known->end(), words.begin(), words.end());
      else
        *known = std::move(words);
      continue;
    }
    size_t begin = 0;
    const Words& raw = statement.words;
    for (; begin < raw.size(); ++begin) {
      const std::string& word = raw[begin].text;
      if (word == "if") {
        const bool now = active() && truth(raw, begin + 1, raw.size());
        branches.push_back({now, now});
        begin = raw.size();
      } else if (word == "elif" && !branches.empty()) {
        Branch& branch = branches.back();
        branch.active = !branch.taken && truth(raw, begin + 1, raw.size());
        branch.taken = branch.taken || branch.active;
        begin = raw.size();
      } else if (word == "else" && !branches.empty()) {
        branches.back().active = !branches.back().taken;
      } else if (word == "fi" && !branches.empty()) {
        branches.pop_back();
      } else if (word != "then" && word != "do" && word != "done" && word != "exec" &&
                 word != "else" && word != "fi") {
        break;
      }
    }
    if (begin >= raw.size() || !active()) continue;
    const bool exports = raw[begin].text == "export" || raw[begin].text == "declare";
    if (exports) ++begin;
    while (begin < raw.size() && assign(raw[begin], exports)) ++begin;
    if (begin < raw.size() && raw[begin].text == "unset") continue;
    Words words;
    for (; begin < raw.size(); ++begin)
      for (Word& word : expand(raw[begin])) words.push_back(std::move(word));
    if (!words.empty() && !exports) commands.push_back(std::move(words));
  }
}

}  // namespace meshplan::launch
