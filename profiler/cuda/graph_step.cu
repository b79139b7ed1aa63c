// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "profiler/cuda/graph_batch.hpp"
#include "profiler/cuda/graph_block.cuh"

namespace meshplan::cuda {
namespace {

namespace code = graph::code;

__global__ void __launch_bounds__(256) places_kernel(int64_t count, int32_t* places) {
  for (int64_t i = thread_index(); i < count; i += thread_count())
    places[i] = static_cast<int32_t>(i);
}
__global__ void __launch_bounds__(1024)
    pieces_kernel(graph::DeviceStep step, code::SortedTouches touches) {
  code::sum_piece(step, touches, blockIdx.x, Block());
}
__global__ void __launch_bounds__(1024)
    step_kernel(graph::DeviceStep step, code::SortedTouches touches) {
  code::step_row(step, touches, blockIdx.x, Block());
}

cudaError_t sort(void* space, size_t& bytes, const uint32_t* id, uint32_t* id_out,
                 const int32_t* place, int32_t* position, int64_t count, int bits,
                 cudaStream_t stream) {
  return cub::DeviceRadixSort::SortPairs(space, bytes, id, id_out, place, position,
                                         static_cast<int>(count), 0, bits, stream);
}

}  // namespace

Result<int64_t> graph_sort_bytes(int64_t count) {
  size_t bytes = 0;
  MESHPLAN_CUDA(sort(nullptr, bytes, nullptr, nullptr, nullptr, nullptr,
                     std::max<int64_t>(count, 1), 32, nullptr));
  return static_cast<int64_t>(bytes);
}

Status graph_places(cudaStream_t stream, int64_t count, int32_t* places) {
  places_kernel<<<grid_for(count, 256), 256, 0, stream>>>(count, places);
  return launched("graph_places");
}

Status graph_step(cudaStream_t stream, const graph::DeviceStep& step, const GraphStepSpace& space) {
  if (step.count == 0 || step.cols == 0) return Done{};
  if (step.count > space.count) return refused("graph_step", "more gradients than its space");
  const int64_t rows = step.table.count > 0 ? step.table.rows : step.rows;
  // kNoRow is all ones: one bit pattern more than there are rows
  const int bits = std::bit_width(static_cast<uint64_t>(rows));
  size_t bytes = static_cast<size_t>(space.sort_bytes);
  MESHPLAN_CUDA(sort(space.sort, bytes, reinterpret_cast<const uint32_t*>(step.ids), space.id,
                     space.places, space.position, step.count, bits, stream));
  const code::SortedTouches touches{space.id, space.position, step.count};
  pieces_kernel<<<row_blocks(step.count), four_threads(step.cols), 0, stream>>>(step, touches);
  MESHPLAN_CHECK(launched("graph_pieces"));
  step_kernel<<<row_blocks(step.count), four_threads(step.cols), 0, stream>>>(step, touches);
  return launched("graph_step");
}

}  // namespace meshplan::cuda
