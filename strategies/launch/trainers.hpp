// SPDX-License-Identifier: Apache-2.0
// The trainers, each from its own folder.
#pragma once
#include "strategies/launch/trainer_files.hpp"

namespace meshplan::launch {

const TrainerFiles& accelerate_files();
const TrainerFiles& deepspeed_files();
const TrainerFiles& megatron_bridge_files();
const TrainerFiles& megatron_lm_files();
const TrainerFiles& meshplan_files();
const TrainerFiles& nanotron_files();
const TrainerFiles& torchtitan_files();

}  // namespace meshplan::launch
