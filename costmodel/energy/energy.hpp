// SPDX-License-Identifier: Apache-2.0
// How much power does a training step draw, and what do energy and GPU-hours cost?
//
// A GPU is in one of four states at any time of a step: products, memory-bound kernels, waiting for
// a collective that is not hidden, waiting for something else. Each has a share of the board's
// power limit (costmodel/data/power.yaml). The host adds its own, the building the PUE.
#pragma once
#include <string>
#include <vector>

#include "costmodel/step/step.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan {

enum class PowerState { products, memory, communicating, waiting };
/// State of a GPU during a part of StepEstimate::time. A part without an entry of its own that is
/// exposed is communicating, anything else is waiting.
PowerState state_of(const std::string& part);

struct PowerShares {
  double products = 0, memory = 0, communicating = 0, waiting = 0;  ///< of the power limit
  double host = 0;                                                  ///< of Host::power_w
  double pue = 1;  ///< energy of the building over that of its machines
  std::vector<std::string> source, assumed;
};
/// Error (input): costmodel/data/power.yaml is missing or not as described.
Result<PowerShares> load_power_shares();

struct StepPower {
  double gpu_w = 0;         ///< mean of one board over the step
  double per_gpu_w = 0;     ///< with its part of the host
  double facility_w = 0;    ///< the same times the PUE
  double idle_gpu_w = 0;    ///< of one board that does nothing, between failure and restart
  double tokens_per_joule;  ///< over facility_w
};
StepPower power_of(const StepEstimate& step, const Cluster& cluster, const PowerShares& shares);

struct Prices {
  double usd_per_gpu_hour = 0;
  double usd_per_kwh = 0;
  double tokens_per_parameter = 0;  ///< length of a training that is not stated
  std::vector<std::string> source;
};
/// Error (input): costmodel/data/prices.yaml is missing or not as described.
Result<Prices> load_prices();

/// Of the whole cluster, energy of the building included.
double usd_per_hour(const StepPower& power, int64_t gpus, const Prices& prices);

}  // namespace meshplan
