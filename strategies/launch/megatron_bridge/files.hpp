// SPDX-License-Identifier: Apache-2.0
// Megatron-Bridge: overrides section.key=value on the nearest recipe; recipes are read, too.
#pragma once
#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch::megatron_bridge {

/// The recipe that a model is trained with, and the Hugging Face name that its recipes take it by.
struct Recipe {
  const char* model;
  const char* recipe;
  const char* hf;
  bool overlap = true;  ///< it has a comm_overlap, whose keys can be overridden
};
const std::vector<Recipe>& recipes();

Result<std::string> write(const Job& job, Version version);
Result<Config> read(const std::string& text, const std::string& name, const Given& given,
                    Version version);
std::vector<ConfigRule> rules();

}  // namespace meshplan::launch::megatron_bridge
