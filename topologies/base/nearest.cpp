// SPDX-License-Identifier: Apache-2.0
#include "topologies/base/nearest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

namespace meshplan {

int edit_distance(std::string_view a, std::string_view b) {
  // Damerau-Levenshtein, restricted (optimal string alignment), three rolling rows.
  std::vector<int> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      int substitute = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitute});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

namespace {
std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}
}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string wanted = lower(word);
  std::string best;
  int best_distance = static_cast<int>(std::max<size_t>(1, word.size() / 3));  // at most
  size_t best_start = 0;  // of equally near names the one that starts alike: H10 is H100, not A10
  for (const auto& candidate : candidates) {
    const std::string name = lower(candidate);
    const int distance = edit_distance(wanted, name);
    const auto differs = std::mismatch(wanted.begin(), wanted.end(), name.begin(), name.end());
    const auto start = static_cast<size_t>(differs.first - wanted.begin());
    const bool nearer = best.empty() || distance < best_distance || start > best_start;
    if (distance > best_distance || !nearer) continue;
    best_distance = distance;
    best_start = start;
    best = candidate;
  }
  return best;
}

std::string suggest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string near = nearest(word, candidates);
  if (!near.empty()) return fmt::format("did you mean '{}'?", near);
  return fmt::format("known: {}", fmt::join(candidates, ", "));
}

}  // namespace meshplan
