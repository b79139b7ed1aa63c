// SPDX-License-Identifier: Apache-2.0
// What must somebody know who finds the folder: how to start, which key says which knob, what the
// files leave unsaid?
#pragma once
#include <string>

#include "strategies/launch/launch.hpp"

namespace meshplan::launch {

std::string readme(const TrainerFiles& trainer, const Job& job, Version version, const Start& start,
                   const Written& written);

}  // namespace meshplan::launch
