// SPDX-License-Identifier: Apache-2.0
// How is a bundled node and fabric reshaped to what a short form or a published run states?
#pragma once
#include <cstdint>

#include "topologies/base/result.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan {

/// Puts `gpu` in the place of the cluster's own; NVLink and PCIe rates follow.
void put_gpu(Cluster& cluster, const Gpu& gpu);

/// Drops degraded parts that the cluster no longer has and finds what the others let through.
void measure_degraded(Cluster& cluster);

/// The bundled cluster of that GPU, with this GPU in it. `gpus_per_node` 0: as bundled. Another
/// number scales the NICs with the GPUs; a multiple of a node inside an NVLink domain (72 for
/// NVL72) is read as the size of that domain. What was changed is noted in `assumed`.
Result<Cluster> shaped_for(const Gpu& gpu, int64_t gpus_per_node);

}  // namespace meshplan
