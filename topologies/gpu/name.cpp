// SPDX-License-Identifier: Apache-2.0
#include "topologies/gpu/name.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>

namespace meshplan {
namespace {

constexpr int kLeastMemoryGb = 12, kMostMemoryGb = 999;
constexpr double kMemoryTolerance = 0.08;

bool says_nothing(const std::string& word) {
  static const std::array<std::string_view, 20> words = {
      "nvidia",   "amd", "intel",       "instinct", "tesla", "geforce", "quadro",
      "graphics", "gpu", "tensor",      "core",     "hbm2",  "hbm2e",   "hbm3",
      "hbm3e",    "oam", "accelerator", "data",     "gb",    "gib"};
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// "80gb", "80g", "80gib" or, behind another word, "80"; 0 if the word is no size of a memory.
int memory_of(const std::string& word, bool first) {
  const size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  if (digits == 0 || digits > 3) return 0;
  const std::string unit = word.substr(digits);
  if (unit != "gb" && unit != "g" && unit != "gib" && (!unit.empty() || first)) return 0;
  const int size = std::atoi(word.substr(0, digits).c_str());
  const int least = unit.empty() ? kLeastMemoryGb : 1;  // "80" may be a model's number, "8GB" not
  return size >= least && size <= kMostMemoryGb ? size : 0;
}

}  // namespace

GpuName read_gpu_name(std::string_view text) {
  GpuName out;
  std::string word;
  const auto take = [&] {
    const int memory = memory_of(word, out.key.empty());
    if (memory > 0) {
      out.memory_gb = memory;
    } else if (!says_nothing(word)) {
      out.exact += word;
      if (word.size() == 4 && word.compare(0, 3, "sxm") == 0) word.pop_back();
      out.key += word;
    }
    word.clear();
  };
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else {
      take();
    }
  }
  take();
  return out;
}

bool memory_fits(double memory_bytes, int memory_gb) {
  const auto near = [&](double unit) {
    return std::abs(memory_bytes / unit / memory_gb - 1) <= kMemoryTolerance;
  };
  return near(1e9) || near(1024.0 * 1024 * 1024);
}

}  // namespace meshplan
