// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/constants.hpp"

#include <optional>
#include <string>

#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {
const char* id_of(HostClass host) {
  switch (host) {
    case HostClass::eager:
      return "eager";
    case HostClass::torch:
      return "torch";
    case HostClass::compiled:
      return "compiled";
    case HostClass::graph:
      return "graph";
    case HostClass::native:
      return "native";
  }
  return "?";
}

Result<HostCosts> load_host_costs(HostClass host, const std::string& gpu_family) {
  const std::string path = data_root() + "/costmodel/data/host.yaml";
  MESHPLAN_TRY(MapReader in, MapReader::open(path));
  std::optional<HostCosts> found;
  std::optional<double> ratio;
  for (MapReader& map : in.maps("cpus")) {
    const std::string family = map.text("gpu_family");
    const double time = map.positive("time_ratio");
    MESHPLAN_CHECK(map.finish());
    if (family == gpu_family) ratio = time;
  }
  in.text("cpus_source");
  for (MapReader& map : in.maps("classes")) {
    const std::string id = map.choice("id", {"eager", "torch", "compiled", "graph", "native"});
    const HostCosts costs = {map.positive("kernel_us") * 1e-6, map.positive("collective_us") * 1e-6,
                             map.positive("sync_us") * 1e-6};
    map.text("source");
    MESHPLAN_CHECK(map.finish());
    if (id == id_of(host)) found = costs;
  }
  MESHPLAN_CHECK(in.finish());
  if (!found)
    return Diagnostic{ErrorKind::input, "no entry for this host class", path, id_of(host)};
  if (!ratio) return Diagnostic{ErrorKind::input, "no CPU for this GPU family", path, gpu_family};
  return HostCosts{found->kernel_s * *ratio, found->collective_s * *ratio, found->sync_s * *ratio};
}

}  // namespace meshplan
