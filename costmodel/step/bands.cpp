// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/bands.hpp"

#include <fmt/format.h>

#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {

BandClass at_level(const BandClass& full, int level) {
  BandClass out;
  if (level >= 1) {
    out.several_nodes = full.several_nodes;
    out.moe = full.moe;
  }
  if (level >= 2) out.trainer = full.trainer;
  if (level >= 3) out.gpu_family = full.gpu_family;
  return out;
}

Band ErrorBands::band_for(const BandClass& asked) const {
  for (int level = kBandLevels - 1; level >= 0; --level) {
    const BandClass wanted = at_level(asked, level);
    for (const Entry& entry : entries) {
      if (entry.level == level && entry.of == wanted) return entry.band;
    }
  }
  return {};
}

namespace {

Result<ErrorBands> read_set(MapReader set) {
  ErrorBands out;
  out.widening = set.positive("widening_ratio");
  out.coverage_left_out = set.number("coverage_left_out_ratio");
  for (MapReader& entry : set.maps("bands")) {
    ErrorBands::Entry next;
    next.level = static_cast<int>(entry.integer("level"));
    if (next.level < 0 || next.level >= kBandLevels)
      entry.problem("level", fmt::format("must be 0 to {}", kBandLevels - 1));
    next.of.trainer = entry.text("trainer", "");
    next.of.gpu_family = entry.text("gpu_family", "");
    next.of.several_nodes = entry.boolean("several_nodes", false);
    next.of.moe = entry.boolean("moe", false);
    next.band.low_ratio = entry.positive("low_ratio");
    next.band.high_ratio = entry.positive("high_ratio");
    if (next.band.low_ratio > next.band.high_ratio)
      entry.problem("low_ratio", "must not exceed high_ratio");
    next.rows = static_cast<int>(entry.integer("rows"));
    MESHPLAN_CHECK(entry.finish());
    out.entries.push_back(std::move(next));
  }
  MESHPLAN_CHECK(set.finish());
  return out;
}

std::string set_yaml(const char* name, const ErrorBands& bands) {
  std::string out =
      fmt::format("{}:\n  widening_ratio: {:.4f}\n  coverage_left_out_ratio: {:.4f}\n  bands:\n",
                  name, bands.widening, bands.coverage_left_out);
  for (const auto& entry : bands.entries) {
    out += fmt::format("    - {{level: {}", entry.level);
    if (entry.level >= 1)
      out += fmt::format(", several_nodes: {}, moe: {}", entry.of.several_nodes, entry.of.moe);
    if (entry.level >= 2) out += fmt::format(", trainer: \"{}\"", entry.of.trainer);
    if (entry.level >= 3) out += fmt::format(", gpu_family: \"{}\"", entry.of.gpu_family);
    out += fmt::format(", low_ratio: {:.4f}, high_ratio: {:.4f}, rows: {}}}\n",
                       entry.band.low_ratio, entry.band.high_ratio, entry.rows);
  }
  return out;
}

}  // namespace

Result<EstimateBands> load_error_bands() {
  return read_error_bands(data_root() + "/costmodel/data/error_bands.yaml");
}

Result<EstimateBands> read_error_bands(const std::string& path) {
  MESHPLAN_TRY(MapReader file, MapReader::open(path));
  EstimateBands out;
  out.fitted_on = file.text("fitted_on");
  MESHPLAN_TRY(out.step, read_set(file.map("step")));
  MESHPLAN_TRY(out.memory, read_set(file.map("memory")));
  MESHPLAN_CHECK(file.finish());
  return out;
}

std::string to_yaml(const EstimateBands& bands) {
  return fmt::format(
             "# SPDX-License-Identifier: Apache-2.0\n"
             "# 80 % intervals of measured over predicted step time and peak memory by class, "
             "learnt "
             "from\n"
             "# published runs; written by `meshplan validate refit --write`, read by "
             "costmodel/step/bands.hpp.\n"
             "# Level 0 is global, 1 tells nodes and mixtures of experts apart, 2 trainers too, 3 "
             "GPU families\n# too.\n"
             "fitted_on: \"{}\"\n",
             bands.fitted_on) +
         set_yaml("step", bands.step) + set_yaml("memory", bands.memory);
}

}  // namespace meshplan
