// SPDX-License-Identifier: Apache-2.0
// The device of device_batch.hpp on the CPU: the code of the GPU's kernels, a row after the other.
#pragma once
#include "profiler/kernels/graph_device.hpp"

namespace meshplan::test {

std::unique_ptr<graph::GraphDevice> host_graph_device(int64_t free_bytes = int64_t{1} << 40);

}  // namespace meshplan::test
