// SPDX-License-Identifier: Apache-2.0
// What accelerate asks of its keys beyond what a plan may be (commands/launch.py,
// parallelism_config.py).
#include <fmt/format.h>

#include "strategies/launch/accelerate/files.hpp"
#include "strategies/launch/common.hpp"

namespace meshplan::launch::accelerate {
namespace {

int64_t size(const Config& c, const char* axis) {
  return c.settings.integer(fmt::format("parallelism_config.parallelism_config_{}_size", axis), 1);
}

bool meshed(const Config& c) {
  for (const Setting& each : c.settings.all())
    if (each.key.rfind("parallelism_config.", 0) == 0) return true;
  return false;
}

void positive(const Config& c, Report& r) {
  for (const char* axis : {"dp_replicate", "dp_shard", "tp", "cp", "sp"})
    if (size(c, axis) < 1)
      r.add(fmt::format("parallelism_config.parallelism_config_{}_size", axis), "sizes begin at 1",
            "1");
}

void version_2(const Config& c, Report& r) {
  if (meshed(c) && c.settings.integer("fsdp_config.fsdp_version", 1) != 2)
    r.add("fsdp_config.fsdp_version", "parallelism_config is taken by FSDP2 only", "2");
}

void processes(const Config& c, Report& r) {
  if (!meshed(c)) return;
  const int64_t product =
      size(c, "dp_replicate") * size(c, "dp_shard") * size(c, "tp") * size(c, "cp") * size(c, "sp");
  const int64_t all = c.settings.integer("num_processes", -1);
  if (all > 0 && product != all)
    r.add("num_processes", fmt::format("the sizes multiply to {}", product),
          fmt::format("{}", product));
}

void copies(const Config& c, Report& r) {
  if (size(c, "dp_replicate") > 1 && size(c, "dp_shard") == 1 &&
      (size(c, "tp") > 1 || size(c, "cp") > 1))
    r.add("parallelism_config.parallelism_config_dp_replicate_size",
          "copies beside tensor or context parallelism need sharding, too",
          fmt::format("1, with dp_shard {}", size(c, "dp_replicate")));
}

void cp_or_sp(const Config& c, Report& r) {
  if (size(c, "cp") > 1 && size(c, "sp") > 1)
    r.add("parallelism_config.parallelism_config_sp_size",
          "context and sequence parallelism exclude each other", "1");
}

void reshard_word(const Config& c, Report& r) {
  const Setting* set = c.settings.find("fsdp_config.fsdp_reshard_after_forward");
  if (set != nullptr && c.settings.integer("fsdp_config.fsdp_version", 1) == 2 &&
      !set->value.is_boolean())
    r.add("fsdp_config.fsdp_reshard_after_forward", "FSDP2 takes true or false here",
          "true for FULL_SHARD, false for SHARD_GRAD_OP");
}

}  // namespace

std::vector<ConfigRule> rules() {
  return {
      {"positive-sizes", "sizes of axes are at least 1", positive},
      {"fsdp-version", "parallelism_config needs fsdp_version 2", version_2},
      {"processes", "the sizes multiply to num_processes", processes},
      {"copies-need-shards", "dp_replicate beside tp or cp needs dp_shard > 1", copies},
      {"cp-or-sp", "cp and sp exclude each other", cp_or_sp},
      {"reshard-word", "fsdp_reshard_after_forward of FSDP2 is true or false", reshard_word},
  };
}

}  // namespace meshplan::launch::accelerate
