// SPDX-License-Identifier: Apache-2.0
// What does Slurm on this node say of the machine?
#pragma once
#include <string>

#include "topologies/base/result.hpp"
#include "topologies/import/import.hpp"

namespace meshplan::cli {

/// Text of `scontrol show topology`; GPU and GPUs per node of `scontrol show node` fill the hints
/// that are empty. Error (missing): there is no scontrol, or it does not answer.
Result<std::string> slurm_topology(ImportHints& hints);

}  // namespace meshplan::cli
