// SPDX-License-Identifier: Apache-2.0
#include "planner/report/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace meshplan::report {
namespace {

std::string with_commas(std::string digits) {
  const size_t start = !digits.empty() && digits[0] == '-' ? 1 : 0;
  for (size_t end = std::min(digits.find('.'), digits.size()); end > start + 3; end -= 3)
    digits.insert(end - 3, ",");
  return digits;
}

struct Scale {
  double unit;
  const char* name;
};

/// In the largest unit that leaves at least 1; the last one takes the rest.
template <size_t N>
std::string scaled(double value, const Scale (&scales)[N]) {
  for (const Scale& scale : scales)
    if (std::abs(value) >= scale.unit) return significant(value / scale.unit) + scale.name;
  return significant(value / scales[N - 1].unit) + scales[N - 1].name;
}

}  // namespace

std::string significant(double value, int digits) {
  if (value == 0) return "0";
  if (!std::isfinite(value)) return value > 0 ? "infinite" : "-";
  const double magnitude = std::abs(value);
  if (magnitude < 1e-4 || magnitude >= 1e15) return fmt::format("{:.{}e}", value, digits - 1);
  const int before = static_cast<int>(std::floor(std::log10(magnitude))) + 1;
  int decimals = std::max(0, digits - before);
  std::string text = fmt::format("{:.{}f}", value, decimals);
  // 9.996 becomes 10.00: one digit too many.
  if (decimals > 0 && std::abs(std::stod(text)) >= std::pow(10.0, before))
    text = fmt::format("{:.{}f}", value, decimals - 1);
  return with_commas(text);
}

std::string grouped(int64_t value) { return with_commas(std::to_string(value)); }

std::string gib(double bytes) {
  static constexpr Scale scales[] = {
      {1024.0 * 1024 * 1024, " GiB"}, {1024.0 * 1024, " MiB"}, {1024.0, " KiB"}, {1, " B"}};
  return scaled(bytes, scales);
}

std::string seconds(double value) {
  static constexpr Scale scales[] = {{1, " s"}, {1e-3, " ms"}, {1e-6, " us"}};
  return value == 0 ? "0 s" : scaled(value, scales);
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string count(double value) {
  if (std::abs(value) < 1e6) return significant(value);
  const bool trillions = std::abs(value) >= 1e12, billions = std::abs(value) >= 1e9;
  const double unit = trillions ? 1e12 : billions ? 1e9 : 1e6;
  return significant(value / unit, 4) + (trillions ? " T" : billions ? " B" : " M");
}

std::string gb_per_s(double bytes_per_s) { return significant(bytes_per_s / 1e9) + " GB/s"; }
std::string tflops(double flops_per_s) { return significant(flops_per_s / 1e12) + " TFLOP/s"; }

std::string plural(int64_t n, const char* word) {
  const std::string_view one(word);
  const char* more = one.size() > 2 && one.substr(one.size() - 2) == "ch" ? "es" : "s";
  return fmt::format("{} {}{}", grouped(n), word, n == 1 ? "" : more);
}

std::string wrapped(const std::string& text, int indent, int width) {
  std::istringstream words(text);
  std::string word, out;
  int column = indent;
  while (words >> word) {
    const int length = static_cast<int>(word.size());
    if (!out.empty() && column + 1 + length > width) {
      out += '\n' + std::string(static_cast<size_t>(indent), ' ');
      column = indent;
    } else if (!out.empty()) {
      out += ' ';
      ++column;
    }
    out += word;
    column += length;
  }
  return out;
}

}  // namespace meshplan::report
