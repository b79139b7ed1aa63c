// SPDX-License-Identifier: Apache-2.0
// Megatron-LM's pretrain_gpt.py: one shell file with the array of flags.
#pragma once
#include "strategies/launch/common.hpp"
#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch::megatron_lm {

Result<std::string> write(const Job& job, Version version);
Result<Config> read(const std::string& text, const std::string& name, const Given& given,
                    Version version);
std::vector<ConfigRule> rules();

/// Names of --recompute-modules for a bit set of Module.
std::vector<std::string> module_names(uint32_t modules);
/// 0 for a name that has no counterpart.
uint32_t modules_named(const std::string& name);

/// Flags that turn mechanisms on or off: of data parallelism, and of the rest.
const std::vector<Switch>& data_switches();
const std::vector<Switch>& kernel_switches();
/// What the file says of the trainer's mechanisms, over what recipes set.
Status read_mechanisms(Config& config);

/// Why the model cannot be said; empty if it can.
std::string cannot_say(const Model& model);

}  // namespace meshplan::launch::megatron_lm
