// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/constants.hpp"

#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {

const std::vector<ConstantEntry>& constant_entries() {
  static const std::vector<ConstantEntry> entries = {
      {"kernel_slowdown_ratio", &Constants::kernel_slowdown, 0.9, 1.4, 1},
      {"network_slowdown_ratio", &Constants::network_slowdown, 0.8, 3, 1},
      {"other_libraries_slowdown_ratio", &Constants::other_libraries, 1, 2, 1,
       FitRows::other_libraries},
      {"overlap_slowdown_ratio", &Constants::overlap_slowdown, 0, 0.6, 0.19},
      {"rank_skew_s", &Constants::rank_skew_s, 0, 0.0005, 0},
      {"launch_scale_ratio", &Constants::launch_scale, 0.3, 3, 1},
      {"step_overhead_s", &Constants::step_overhead_s, 0, 0.1, 0},
      {"activation_slack_ratio", &Constants::activation_slack, 0, 0.3, 0},
  };
  return entries;
}

Result<Constants> load_constants() {
  MESHPLAN_TRY(MapReader reader, MapReader::open(data_root() + "/costmodel/data/constants.yaml"));
  Constants constants;
  constants.fitted_on = reader.text("fitted_on");
  for (const ConstantEntry& entry : constant_entries()) {
    constants.*entry.field = reader.number(entry.name);
  }
  MESHPLAN_CHECK(reader.finish());
  return constants;
}

}  // namespace meshplan
