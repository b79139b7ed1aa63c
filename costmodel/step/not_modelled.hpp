// SPDX-License-Identifier: Apache-2.0
// What does a real run of this plan pay for that the estimate leaves out? Never silent: every
// answer lists it.
#pragma once
#include <string>
#include <vector>

#include "strategies/model/model.hpp"
#include "strategies/plan/plan.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan {

std::vector<std::string> not_modelled(const Model& model, const Plan& plan, const Trainer& trainer,
                                      const Cluster& cluster);

}  // namespace meshplan
