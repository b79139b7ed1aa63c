// SPDX-License-Identifier: Apache-2.0
// Hugging Face accelerate with FSDP2 and its parallelism_config: one YAML file. Model, sequence
// and batch are the script's.
#pragma once
#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch::accelerate {

Result<std::string> write(const Job& job, Version version);
Result<Config> read(const std::string& text, const std::string& name, const Given& given,
                    Version version);
std::vector<ConfigRule> rules();

}  // namespace meshplan::launch::accelerate
