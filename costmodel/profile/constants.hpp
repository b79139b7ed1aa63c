// SPDX-License-Identifier: Apache-2.0
// What does issuing a kernel cost the host, and what does overlap cost the device? The facts of
// host.yaml and overlap.yaml in SI units.
#pragma once
#include <string>

#include "strategies/trainer/trainer.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

struct HostCosts {
  double kernel_s = 0;      ///< host time per kernel
  double collective_s = 0;  ///< per collective or point-to-point call
  double sync_s = 0;        ///< read back by the host, the device runs dry meanwhile
};
/// On the CPUs that machines with this GPU family have. Error (input): bad file, or no entry of
/// this class or family.
Result<HostCosts> load_host_costs(HostClass host, const std::string& gpu_family);

struct OverlapFacts {
  double compute_slowdown = 0;      ///< mean share by which kernels beside a collective are slower
  double compute_slowdown_max = 0;  ///< worst observed
  double collective_slowdown = 0;
  int nvlink_channels = 0;   ///< SMs that a collective inside a node takes
  int network_channels = 0;  ///< the same across nodes
};
Result<OverlapFacts> load_overlap_facts();

}  // namespace meshplan
