// SPDX-License-Identifier: Apache-2.0
#include "planner/cli/scale_flags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "planner/report/format.hpp"

namespace meshplan::cli {

void add_scale_flags(CLI::App& app, ScaleFlags& flags) {
  const auto text = [&](const char* name, std::string& to, const char* about) {
    app.add_option(name, to, about)->group("Money, energy, failures");
  };
  text("--tokens", flags.tokens, "length of the training, e.g. 15e12; else 20 a parameter");
  text("--usd-per-gpu-hour", flags.usd_per_gpu_hour, "price of one GPU for an hour");
  text("--usd-per-kwh", flags.usd_per_kwh, "price of energy; 0 where the rent includes it");
  text("--pue", flags.pue, "energy of the building over that of its machines");
  text("--failures", flags.failures, "interruptions per million GPU-hours");
  text("--restart", flags.restart, "seconds from a failure to the first new step");
  text("--storage", flags.storage, "GB/s of the file system that takes checkpoints");
  text("--stragglers", flags.stragglers, "relative spread of the ranks' speed, e.g. 0.01");
}

Result<double> real_number(const std::string& text, const std::string& flag, double least) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (!text.empty() && *end == '\0' && std::isfinite(value) && value >= least) return value;
  return Diagnostic{
      .kind = ErrorKind::usage,
      .message = fmt::format("expected a number of {} or more", report::significant(least, 1)),
      .where = flag,
      .value = text};
}

std::vector<std::string> comma_separated(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');)
    if (!word.empty()) out.push_back(word);
  return out;
}

Result<std::vector<int64_t>> counts_from(const std::string& text, const std::string& flag) {
  constexpr size_t kMost = 64;
  std::vector<int64_t> out;
  if (const size_t dots = text.find(".."); dots != std::string::npos) {
    MESHPLAN_TRY(const int64_t first, whole_number(text.substr(0, dots), flag));
    MESHPLAN_TRY(const int64_t last, whole_number(text.substr(dots + 2), flag));
    if (first > last)
      return Diagnostic{.kind = ErrorKind::usage,
                        .message = "the range ends before it begins",
                        .where = flag,
                        .value = text};
    for (int64_t n = first; n < last && out.size() < kMost; n *= 2) out.push_back(n);
    out.push_back(last);
    return out;
  }
  for (const auto& word : comma_separated(text)) {
    MESHPLAN_TRY(const int64_t n, whole_number(word, flag));
    out.push_back(n);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  if (out.empty() || out.size() > kMost)
    return Diagnostic{.kind = ErrorKind::usage,
                      .message = fmt::format("expected 1 to {} numbers", kMost),
                      .where = flag,
                      .value = text,
                      .hint = "8..131072 or 64,128,256"};
  return out;
}

Result<ScaleInputs> scale_inputs(const ScaleFlags& flags, std::vector<std::string>& defaults) {
  MESHPLAN_TRY(ScaleInputs in, load_scale_inputs());
  double failures = in.reliability.interruptions_per_gpu_hour * 1e6;
  double storage = in.reliability.storage_bytes_per_s / 1e9;
  struct Entry {
    const char* flag;
    const std::string& text;
    double& value;
    double least;
  };
  const std::vector<Entry> entries = {
      {"--usd-per-gpu-hour", flags.usd_per_gpu_hour, in.prices.usd_per_gpu_hour, 0},
      {"--usd-per-kwh", flags.usd_per_kwh, in.prices.usd_per_kwh, 0},
      {"--pue", flags.pue, in.power.pue, 1},
      {"--failures", flags.failures, failures, 0},
      {"--restart", flags.restart, in.reliability.restart_s, 0},
      {"--storage", flags.storage, storage, 1e-3},
      {"--stragglers", flags.stragglers, in.reliability.straggler_sigma, 0}};
  for (const Entry& entry : entries) {
    if (entry.text.empty()) {
      defaults.push_back(fmt::format("{} {}", entry.flag, report::significant(entry.value)));
      continue;
    }
    MESHPLAN_TRY(entry.value, real_number(entry.text, entry.flag, entry.least));
  }
  in.reliability.interruptions_per_gpu_hour = failures / 1e6;
  in.reliability.storage_bytes_per_s = storage * 1e9;
  if (flags.tokens.empty()) {
    defaults.push_back(fmt::format("--tokens {} a parameter",
                                   report::significant(in.prices.tokens_per_parameter)));
  } else {
    MESHPLAN_TRY(in.tokens, real_number(flags.tokens, "--tokens", 1));
  }
  return in;
}

}  // namespace meshplan::cli
