// SPDX-License-Identifier: Apache-2.0
// Which facts does `show` print of each kind of thing, and which does every answer echo as inputs?
#pragma once
#include "planner/report/sheet.hpp"
#include "strategies/model/model.hpp"
#include "strategies/rules/rules.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan::report {

Sheet facts_of(const Gpu& gpu);
Sheet facts_of(const Cluster& cluster);
Sheet facts_of(const Model& model);
Sheet facts_of(const Trainer& trainer);
/// `trainers`: whose files are asked which of them offer it.
Sheet facts_of(ScheduleKind schedule, const std::vector<Trainer>& trainers);
Sheet facts_of(RuleId rule, const std::vector<Trainer>& trainers);

}  // namespace meshplan::report
