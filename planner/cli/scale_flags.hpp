// SPDX-License-Identifier: Apache-2.0
// Which flags do `scale` and `size` share? Money, energy, failures, the length of the training.
#pragma once
#include <string>
#include <vector>

#include "planner/cli/parse.hpp"
#include "planner/scale/scale.hpp"

namespace meshplan::cli {

struct ScaleFlags {
  std::string tokens, usd_per_gpu_hour, usd_per_kwh, pue, failures, restart, storage, stragglers;
};
void add_scale_flags(CLI::App& app, ScaleFlags& flags);
/// The bundled figures with those of the flags in their place; what was not stated goes to
/// `defaults`. Error (usage) with the flag.
Result<ScaleInputs> scale_inputs(const ScaleFlags& flags, std::vector<std::string>& defaults);

/// A number of `least` or more; "15e12" too. Error (usage) names the flag.
Result<double> real_number(const std::string& text, const std::string& flag, double least);
/// "8..131072" (doubling from the first on, the last included), "8,64,512", "512".
Result<std::vector<int64_t>> counts_from(const std::string& text, const std::string& flag);
std::vector<std::string> comma_separated(const std::string& text);

}  // namespace meshplan::cli
