// SPDX-License-Identifier: Apache-2.0
// DeepSpeed's JSON file. Model and sequence are the script's.
#pragma once
#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch::deepspeed {

Result<std::string> write(const Job& job, Version version);
Result<Config> read(const std::string& text, const std::string& name, const Given& given,
                    Version version);
std::vector<ConfigRule> rules();

}  // namespace meshplan::launch::deepspeed
