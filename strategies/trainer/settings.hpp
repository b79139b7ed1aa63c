// SPDX-License-Identifier: Apache-2.0
// What of a trainer does a plan set otherwise than the trainer's file? The file says how its
// recipes run: what is overlapped, which kernels are fused. A configuration that was imported, or a
// plan written by hand, may turn any of it on or off.
#pragma once
#include <string>

#include "strategies/trainer/trainer.hpp"

namespace meshplan {

/// Sets one fact of the sections kernels, formats, overlap, host and memory, and notes it in
/// `trainer.settings`; what holds already changes and notes nothing, what goes back to the file's
/// value is noted no more. ErrorKind::input: no such section, key or value.
Status set(Trainer& trainer, const TrainerSetting& setting);

/// "overlap.grad_reduce: false", as messages name it.
std::string to_text(const TrainerSetting& setting);

/// All of them, "overlap.grad_reduce: false, overlap.tp: ring"; "" if there are none.
std::string settings_text(const Trainer& trainer);

}  // namespace meshplan
