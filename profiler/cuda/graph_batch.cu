// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/graph_batch.hpp"

#include "profiler/cuda/graph_block.cuh"

namespace meshplan::cuda {
namespace {

namespace code = graph::code;

constexpr int kDrawThreads = 128;
constexpr int kColumns = 32, kLanes = 8;  // of a block of operator_columns_kernel
constexpr int kSumThreads = 1024;
constexpr unsigned kGraphLossThreads = 256;  // more would have too few registers

template <graph::End end>
__global__ void __launch_bounds__(kDrawThreads)
    draw_kernel(graph::ChunkGrid grid, graph::DeviceDraw draw) {
  const int64_t count = grid.rows(end);
  for (int64_t s = thread_index(); s < count; s += thread_count())
    code::draw_slot<end>(grid, draw, s);
}
__global__ void __launch_bounds__(32 * kWarps) gather_kernel(graph::DeviceGather gather) {
  if (warp_row() < gather.rows) code::gather_row(gather, warp_row(), Warp());
}
__global__ void __launch_bounds__(32 * kWarps)
    operate_kernel(graph::DeviceOperate operate, int64_t rows) {
  if (warp_row() < rows) code::operate_row(operate, warp_row(), Warp());
}
__global__ void __launch_bounds__(32 * kWarps)
    operator_gradient_kernel(graph::DeviceOperatorGradient gradient, int64_t rows) {
  if (warp_row() < rows) code::operator_gradient_row(gradient, warp_row(), Warp());
}
/// Threads of one column take every eighth row and add their sums in order.
__global__ void __launch_bounds__(kColumns* kLanes)
    operator_columns_kernel(graph::DeviceOperatorGradient gradient) {
  __shared__ float parts[kLanes][kColumns];
  const int column = threadIdx.x % kColumns, lane = threadIdx.x / kColumns;
  const int64_t c = static_cast<int64_t>(blockIdx.y) * kColumns + column;
  const bool mine = c < gradient.op.parameters;
  parts[lane][column] = mine ? code::operator_column(gradient, blockIdx.x, c, lane, kLanes) : 0.0F;
  __syncthreads();
  if (lane != 0 || !mine) return;
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += parts[i][column];
  gradient.dparams[blockIdx.x * gradient.op.parameters + c] = sum;
}
/// A block a row of scores in memory.
__global__ void __launch_bounds__(kGraphLossThreads) loss_kernel(graph::DeviceLoss loss) {
  code::ScoresInMemory scores{code::scores_of(loss, blockIdx.x), loss.slots};
  code::loss_row(loss, blockIdx.x, Block(), scores);
}
/// A warp a row of at most 128 N scores.
template <int N>
__global__ void __launch_bounds__(32 * kWarps) loss_held_kernel(graph::DeviceLoss loss) {
  const int64_t row = warp_row();
  if (row >= loss.chunks * loss.edges) return;
  code::ScoresHeld<N> scores(code::scores_of(loss, row), loss.slots, Warp());
  code::loss_row(loss, row, Warp(), scores);
}
__global__ void __launch_bounds__(1024) n3_kernel(graph::DeviceN3 n3) {
  code::n3_row(n3, blockIdx.x, Block());
}
__global__ void __launch_bounds__(1024) add_kernel(graph::DeviceAdd add) {
  code::add_row(add, blockIdx.x, Block());
}
__global__ void __launch_bounds__(kSumThreads)
    sum_kernel(int64_t count, const float* losses, double* sum) {
  float part = 0;
  for (int64_t i = threadIdx.x; i < count; i += kSumThreads) part += losses[i];
  part = block_sum(part);
  if (threadIdx.x == 0) *sum += static_cast<double>(part);
}

}  // namespace

Status graph_draw(cudaStream_t stream, const graph::ChunkGrid& grid,
                  const graph::DeviceDraw& draw) {
  const auto blocks = [&](graph::End end) { return grid_for(grid.rows(end), kDrawThreads); };
  draw_kernel<graph::left><<<blocks(graph::left), kDrawThreads, 0, stream>>>(grid, draw);
  MESHPLAN_CHECK(launched("graph_draw"));
  draw_kernel<graph::right><<<blocks(graph::right), kDrawThreads, 0, stream>>>(grid, draw);
  return launched("graph_draw");
}

Status graph_gather(cudaStream_t stream, const graph::DeviceGather& gather) {
  if (gather.rows == 0) return Done{};
  gather_kernel<<<row_warps(gather.rows), 32 * kWarps, 0, stream>>>(gather);
  return launched("graph_gather");
}

Status graph_operate(cudaStream_t stream, const graph::DeviceOperate& operate) {
  const int64_t rows = operate.op.chunks * operate.op.rows;
  if (rows == 0) return Done{};
  operate_kernel<<<row_warps(rows), 32 * kWarps, 0, stream>>>(operate, rows);
  return launched("graph_operate");
}

Status graph_operator_gradient(cudaStream_t stream, const graph::DeviceOperatorGradient& gradient) {
  const graph::DeviceOperator& op = gradient.op;
  const int64_t rows = op.chunks * op.rows;
  if (rows == 0) return Done{};
  if (op.relations == nullptr && op.parameters > 0) {
    const dim3 grid(row_blocks(op.chunks),
                    static_cast<unsigned>((op.parameters + kColumns - 1) / kColumns));
    operator_columns_kernel<<<grid, kColumns * kLanes, 0, stream>>>(gradient);
    MESHPLAN_CHECK(launched("graph_operator_columns"));
  }
  operator_gradient_kernel<<<row_warps(rows), 32 * kWarps, 0, stream>>>(gradient, rows);
  return launched("graph_operator_gradient");
}

Status graph_loss(cudaStream_t stream, const graph::DeviceLoss& loss) {
  const int64_t rows = loss.chunks * loss.edges;
  if (rows == 0) return Done{};
  const auto held = [&]<int N>(std::integral_constant<int, N>) {
    loss_held_kernel<N><<<row_warps(rows), 32 * kWarps, 0, stream>>>(loss);
    return launched("graph_loss");
  };
  if (loss.slots <= 128) return held(std::integral_constant<int, 1>{});
  if (loss.slots <= 256) return held(std::integral_constant<int, 2>{});
  if (loss.slots <= 512) return held(std::integral_constant<int, 4>{});
  if (loss.slots <= 1024) return held(std::integral_constant<int, 8>{});
  if (loss.slots <= 2048) return held(std::integral_constant<int, 16>{});
  loss_kernel<<<row_blocks(rows), kGraphLossThreads, 0, stream>>>(loss);
  return launched("graph_loss");
}

Status graph_n3(cudaStream_t stream, const graph::DeviceN3& n3) {
  const int64_t rows = n3.chunks * n3.rows;
  if (rows == 0) return Done{};
  n3_kernel<<<row_blocks(rows), row_threads(n3.cols), 0, stream>>>(n3);
  return launched("graph_n3");
}

Status graph_add(cudaStream_t stream, const graph::DeviceAdd& add) {
  const int64_t rows = add.chunks * add.rows;
  if (rows == 0) return Done{};
  add_kernel<<<row_blocks(rows), four_threads(add.cols), 0, stream>>>(add);
  return launched("graph_add");
}

Status graph_sum(cudaStream_t stream, int64_t count, const float* losses, double* sum) {
  sum_kernel<<<1, kSumThreads, 0, stream>>>(count, losses, sum);
  return launched("graph_sum");
}

}  // namespace meshplan::cuda
