// SPDX-License-Identifier: Apache-2.0
// torchtitan: a TOML file up to 0.2, a Python function since. 0.3 counts sequences, 0.4 (main of
// August 2026) tokens.
#pragma once
#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch::torchtitan {

constexpr Version kRecipes = {0, 3};
constexpr Version kTokens = {0, 4};

/// A model that torchtitan has under a name of its own.
struct Flavor {
  const char* model;   ///< of ours
  const char* module;  ///< llama3, deepseek_v3, qwen3
  const char* flavor;
  const char* base;    ///< recipe that everything but plan and model is taken from
  const char* assets;  ///< tokenizer
};
const Flavor* flavor_of(const Model& model);
const Flavor* flavor_named(const std::string& module, const std::string& flavor);
const std::vector<Flavor>& flavors();

Result<std::string> write(const Job& job, Version version);
Result<Config> read(const std::string& text, const std::string& name, const Given& given,
                    Version version);
std::vector<ConfigRule> rules();

/// Is torch.compile on, and "model" or "loss" one of its components (all are where none is named)?
bool compiles(const Settings& settings, const char* component);

/// In how many parts a recipe (0.3 and later) makes head and loss: of a loss that is none of parts,
/// one.
int64_t loss_chunks(const Settings& settings);

/// The key of asynchronous tensor parallelism.
const char* async_key(Version version);

/// Is there one stage a rank under this schedule? Unknown names have none.
enum class StageKind { single, looped, unknown };
StageKind stages_of(const std::string& schedule);

}  // namespace meshplan::launch::torchtitan
