// SPDX-License-Identifier: Apache-2.0
// What nanotron asks of its keys beyond what a plan may be (config/config.py, parallel/context.py).
#include <fmt/format.h>

#include "strategies/launch/common.hpp"
#include "strategies/launch/nanotron/files.hpp"

namespace meshplan::launch::nanotron {
namespace {

void required(const Config& c, Report& r) {
  for (const char* key : {"general.project", "parallelism.dp", "parallelism.pp", "parallelism.tp"})
    if (!c.settings.has(key)) r.add(key, "a required key is missing", "set it");
}

void first_stage(const Config& c, Report& r) {
  const Setting* stages = c.settings.find("data_stages");
  if (stages == nullptr || !stages->value.is_array()) return;
  for (const Json& stage : stages->value)
    if (stage.is_object() && stage.value("start_training_step", Json()) == Json(1)) return;
  r.add("data_stages", "no stage of the data begins at step 1", "start_training_step: 1",
        "no stage at step 1");
}

void expert_ranks(const Config& c, Report& r) {
  if (c.settings.integer("parallelism.expert_parallel_size", 1) > 1)
    r.add("parallelism.expert_parallel_size",
          "the grid of ranks has experts beside the others, the check of the world leaves them out",
          "1");
}

void async_mode(const Config& c, Report& r) {
  const Settings& s = c.settings;
  if (s.boolean("parallelism.tp_linear_async_communication", false) &&
      s.text("parallelism.tp_mode", "ALL_REDUCE") != "REDUCE_SCATTER")
    r.add("parallelism.tp_linear_async_communication",
          "communication beside products needs sequence parallelism", "tp_mode: REDUCE_SCATTER");
}

}  // namespace

std::vector<ConfigRule> rules() {
  return {
      {"required-keys", "project and degrees are given", required},
      {"first-stage", "a stage of the data begins at step 1", first_stage},
      {"expert-ranks", "experts stay whole: the world is counted without them", expert_ranks,
       false},
      {"async-mode", "asynchronous tensor parallelism needs REDUCE_SCATTER", async_mode, false},
  };
}

}  // namespace meshplan::launch::nanotron
