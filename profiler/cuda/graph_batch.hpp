// SPDX-License-Identifier: Apache-2.0
// Kernels of a batch of a graph's edges: the steps of profiler/kernels/graph_device.hpp on
// `stream`. Every one gives the same bits every time. Error: the runtime's for the launch.
#pragma once
#include "profiler/cuda/status.hpp"
#include "profiler/kernels/graph_device.hpp"

namespace meshplan::cuda {

Status graph_draw(cudaStream_t stream, const graph::ChunkGrid& grid, const graph::DeviceDraw& draw);
Status graph_gather(cudaStream_t stream, const graph::DeviceGather& gather);
Status graph_operate(cudaStream_t stream, const graph::DeviceOperate& operate);
Status graph_operator_gradient(cudaStream_t stream, const graph::DeviceOperatorGradient& gradient);
Status graph_loss(cudaStream_t stream, const graph::DeviceLoss& loss);
Status graph_n3(cudaStream_t stream, const graph::DeviceN3& n3);
Status graph_add(cudaStream_t stream, const graph::DeviceAdd& add);
Status graph_sum(cudaStream_t stream, int64_t count, const float* losses, double* sum);

/// Scratch of a step of up to `count` gradients.
struct GraphStepSpace {
  int64_t count = 0, sort_bytes = 0;
  int32_t *places = nullptr, *position = nullptr;  ///< [count]; places: 0, 1, 2, ...
  uint32_t* id = nullptr;                          ///< [count]
  void* sort = nullptr;                            ///< [sort_bytes]
};
/// Bytes that sorting so many takes.
Result<int64_t> graph_sort_bytes(int64_t count);
Status graph_places(cudaStream_t stream, int64_t count, int32_t* places);
/// Equal ids come together by a radix sort that keeps their order (CUB), so that sums need no
/// atomic and have one order.
Status graph_step(cudaStream_t stream, const graph::DeviceStep& step, const GraphStepSpace& space);

}  // namespace meshplan::cuda
