// SPDX-License-Identifier: Apache-2.0
// What does issuing a kernel cost the host? The facts of host.yaml in SI units.
#pragma once
#include <string>

#include "strategies/trainer/trainer.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

const char* id_of(HostClass host);  ///< as data files call it

struct HostCosts {
  double kernel_s = 0;      ///< host time per kernel
  double collective_s = 0;  ///< per collective or point-to-point call
  double sync_s = 0;        ///< read back by the host, the device runs dry meanwhile
};
/// On the CPUs that machines with this GPU family have. Error (input): bad file, or no entry of
/// this class or family.
Result<HostCosts> load_host_costs(HostClass host, const std::string& gpu_family);

}  // namespace meshplan
