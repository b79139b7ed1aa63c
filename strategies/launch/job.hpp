// SPDX-License-Identifier: Apache-2.0
// What does a trainer have to be told? The plan, with the model, the batch and the machine it is
// for.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "strategies/model/model.hpp"
#include "strategies/plan/plan.hpp"
#include "strategies/trainer/trainer.hpp"

namespace meshplan::launch {

struct Job {
  Model model;
  Plan plan;
  Batch batch;
  Trainer trainer;  ///< its mechanisms and rank order
  int64_t nodes = 1, gpus_per_node = 1;
  double compute_capability = 9.0;  ///< of the GPU
  int64_t gpus() const { return nodes * gpus_per_node; }
};

/// Release of a trainer: {0, 20} is 0.20.
struct Version {
  int major = 0, minor = 0;
  auto operator<=>(const Version&) const = default;  // NOLINT(modernize-use-nullptr): not ours
};
std::string to_text(Version version);

/// What is known beside a trainer's file; 0 and empty: not given. A file's own word goes first.
struct Given {
  std::optional<Model> model;
  int64_t nodes = 0, gpus_per_node = 0;
  double compute_capability = 9.0;
  int64_t sequence = 0, global_sequences = 0;
  int micro_batch = 0;
  std::optional<Recompute> recompute;
  std::string entry;  ///< of files that hold several configurations: the function's name
  Trainer trainer;    ///< whose rules hold
  int64_t gpus() const { return nodes * gpus_per_node; }
};

/// The same plan with every knob that means nothing in it at its default, so that two plans that
/// do the same are equal: sequence parallelism at tp 1, a schedule at pp 1, a split that is the
/// one taken anyway.
Plan canonical(const Model& model, Plan plan);

}  // namespace meshplan::launch
