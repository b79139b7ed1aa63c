// SPDX-License-Identifier: Apache-2.0
// How is a batch of edges trained on a device with memory of its own? As batch.hpp does it on the
// CPU, with the same draws, all its chunks at once: full ones together, then what is left of the
// batch as a shorter one. Rows, edges and operators stay on the device for a round of buckets, rows
// until they leave. The same bytes every time.
#pragma once
#include "profiler/kernels/graph_device.hpp"
#include "topologies/base/dtype.hpp"
#include "validate/embedding/batch_worker.hpp"

namespace meshplan::graph {

/// What of the workload devices do not train with these products, each in words; empty: all of it.
std::vector<std::string> not_on_devices(const Workload& workload, DType products);

/// Of a workload that devices train. products: fp32 or bf16 operands of the scores' products.
/// `parameters` and the device outlive it.
std::unique_ptr<BatchWorker> make_device_worker(const Workload& workload,
                                                SharedParameters& parameters, DType products,
                                                GraphDevice& device);

}  // namespace meshplan::graph
