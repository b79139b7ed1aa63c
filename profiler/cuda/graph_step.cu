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
/// Threads that sum gradients have several of them in registers.
constexpr unsigned kPieceThreads = 256;
unsigned piece_threads(int64_t cols) { return std::min(kPieceThreads, four_threads(cols)); }

__global__ void __launch_bounds__(kPieceThreads)
    pieces_kernel(graph::DeviceStep step, code::SortedTouches touches) {
  code::sum_pieces(step, touches, blockIdx.x * code::kTouches, Block());
}
/// A row of entities has few touches, and there are many rows.
__global__ void __launch_bounds__(32 * kWarps)
    step_entities_kernel(graph::DeviceStep step, code::SortedTouches touches) {
  if (warp_row() < touches.count) code::step_entity(step, touches, warp_row(), Warp());
}
/// An operator has many touches.
__global__ void __launch_bounds__(kPieceThreads)
    step_operators_kernel(graph::DeviceStep step, code::SortedTouches touches) {
  code::step_values(step, touches, blockIdx.x, Block());
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
  const bool entities = step.table.count > 0;
  const int64_t rows = entities ? step.table.rows : step.rows;
  // kNoRow is all ones: one bit pattern more than there are rows
  const int bits = std::bit_width(static_cast<uint64_t>(rows));
  size_t bytes = static_cast<size_t>(space.sort_bytes);
  if (!step.same_ids)
    MESHPLAN_CUDA(sort(space.sort, bytes, reinterpret_cast<const uint32_t*>(step.ids), space.id,
                       space.places, space.position, step.count, bits, stream));
  const code::SortedTouches touches{space.id, space.position, step.count};
  pieces_kernel<<<row_blocks((step.count + code::kTouches - 1) / code::kTouches),
                  piece_threads(step.cols), 0, stream>>>(step, touches);
  MESHPLAN_CHECK(launched("graph_pieces"));
  if (entities)
    step_entities_kernel<<<row_warps(step.count), 32 * kWarps, 0, stream>>>(step, touches);
  else
    step_operators_kernel<<<row_blocks(step.count), piece_threads(step.cols), 0, stream>>>(step,
                                                                                           touches);
  return launched("graph_step");
}

}  // namespace meshplan::cuda
