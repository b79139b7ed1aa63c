// SPDX-License-Identifier: Apache-2.0
// How does a plan leave meshplan and come back? One YAML file with all that the later commands
// need: model, cluster, rank order, trainer, strategy, sequence, batch. Schema
// meshplan.plan-file/1.
//
// GPU and trainer stand in it by their id in the catalogue; the model's shape and the cluster's
// nodes, links and tiers in full. trainer_settings, which may be absent, holds what the plan sets
// otherwise than the trainer's file, in the sections of that file.
#pragma once
#include <string>

#include "strategies/model/model.hpp"
#include "strategies/plan/plan.hpp"
#include "strategies/trainer/trainer.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan::planfile {

constexpr const char* kSchema = "meshplan.plan-file/1";

struct PlanFile {
  Model model;
  Cluster cluster;
  Trainer trainer;  ///< with the file's rank order and settings
  Plan plan;
  Batch batch;
};

/// True if the file can be read and its first key is `schema: meshplan.plan-file/...`.
bool is_plan_file(const std::string& path);

/// Errors (input): missing or unknown keys, with file and line; (usage): GPU or trainer unknown.
Result<PlanFile> read(const std::string& path);
Result<PlanFile> parse(const std::string& text, const std::string& name);

/// The same values give the same bytes; parse gives the same values back.
std::string to_yaml(const PlanFile& file);

}  // namespace meshplan::planfile
