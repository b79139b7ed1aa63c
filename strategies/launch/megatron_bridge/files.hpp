// SPDX-License-Identifier: Apache-2.0
// Megatron-Bridge: overrides section.key=value on the nearest recipe; recipes are read, too.
#pragma once
#include "strategies/launch/common.hpp"
#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch::megatron_bridge {

/// The recipe that a model is trained with.
struct Recipe {
  const char* model;
  const char* recipe;
  bool overlap = true;  ///< it has a comm_overlap, whose keys can be overridden
};
const std::vector<Recipe>& recipes();

/// Keys that turn kernels on or off. Recipes set them: a plan that says nothing of one leaves it
/// alone.
const std::vector<Switch>& switches();
/// What the file says of the trainer's mechanisms, over what recipes set. comm_overlap: there is
/// one, of the recipe or of the file.
Status read_mechanisms(Config& config, bool comm_overlap);

/// The name of the mixed precision; "bf16_mixed" if there is none.
std::string precision_named(const Settings& settings);

Result<std::string> write(const Job& job, Version version);
Result<Config> read(const std::string& text, const std::string& name, const Given& given,
                    Version version);
std::vector<ConfigRule> rules();

}  // namespace meshplan::launch::megatron_bridge
