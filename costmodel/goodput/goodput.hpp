// SPDX-License-Identifier: Apache-2.0
// How much of the time does a training make progress when GPUs fail?
//
// Interruptions come at random with a constant rate per GPU-hour. Each costs a restart and the work
// since the last checkpoint; each checkpoint costs its writing. The interval between checkpoints is
// the optimal one.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

struct Reliability {
  double interruptions_per_gpu_hour = 0;
  double restart_s = 0;  ///< from the failure to the first new step: detection, restart, load
  double storage_bytes_per_s = 0;  ///< of the whole file system, sustained
  double straggler_sigma = 0;      ///< relative spread of the ranks' speed, more than a step has
  std::vector<std::string> source;
};
/// Error (input): costmodel/data/reliability.yaml is missing or not as described.
Result<Reliability> load_reliability();

struct Goodput {
  double interruption_every_s = 0;  ///< mean time between interruptions of the whole job
  double checkpoint_bytes = 0;
  double checkpoint_s = 0;      ///< of writing one; the training stands still meanwhile
  double interval_s = 0;        ///< of work between two checkpoints
  double effective_share = 1;   ///< of the time in which new steps are done
  double straggler_factor = 1;  ///< time of a step over the one that is predicted
  double time_factor() const { return straggler_factor / effective_share; }
};

/// Weights, master weights and both moments of every parameter, in the trainer's formats.
double checkpoint_bytes(const Model& model, const Trainer& trainer, DType compute);

/// Seconds of work between checkpoints. Young 1974: sqrt(2 d M) for checkpoints of d seconds and
/// interruptions every M seconds.
double young_interval_s(double checkpoint_s, double interruption_every_s);
/// Daly 2006, equation 37: the higher-order estimate; M where checkpoints take longer than M / 2.
double daly_interval_s(double checkpoint_s, double interruption_every_s);

/// Share of the time that is progress (Daly 2006, equation 20): t / (M e^(R/M) (e^((t+d)/M) - 1))
/// for intervals of t, restarts of R seconds.
double effective_share(double interval_s, double checkpoint_s, double restart_s,
                       double interruption_every_s);

Goodput goodput_of(int64_t gpus, double checkpoint_bytes, const Reliability& reliability);

}  // namespace meshplan
