// SPDX-License-Identifier: Apache-2.0
// A GPU as the device that trains batches of a graph's edges. Without any type of CUDA; in a build
// without it the function is there and says so (absent.cpp).
#pragma once
#include "profiler/kernels/graph_device.hpp"

namespace meshplan::cuda {

/// For the calling thread, which makes all its calls. Error (missing): no CUDA, no such GPU, no
/// cuBLASLt.
Result<std::unique_ptr<graph::GraphDevice>> make_graph_device(int gpu);

}  // namespace meshplan::cuda
