// SPDX-License-Identifier: Apache-2.0
// What does a low-rank adapter beside a product do? (Hu et al. 2021)
#include "strategies/program/builder.hpp"

namespace meshplan {
namespace {

constexpr int64_t kAdapterRank = 32;  ///< assumed, see states.cpp

}  // namespace

void BlockBuilder::adapter(Module module, BufferId x, BufferId y) {
  if (!context_.trainer.adapters_only) return;
  const Buffer from = at(x), to = at(y);
  const DType type = context_.value();
  BufferId in = x, mask = -1;
  if (context_.trainer.adapter_dropout) {
    in = value("adapter input", from.rows, from.cols, from.dtype);
    mask = value("adapter input.mask", from.rows, from.cols, DType::uint8);
    forward(Elementwise{ElementwiseKind::dropout, from.elements(), from.bytes(),
                        from.bytes() + from.elements()},
            module, {x}, {in, mask});
  }
  const BufferId low = value("adapter." + to.name, from.rows, kAdapterRank, type);
  const BufferId added = value("adapted." + to.name, to.rows, to.cols, type);
  forward(Gemm{from.rows, kAdapterRank, from.cols, 1, Layout::tn, type, type}, module, {in}, {low});
  forward(Gemm{to.rows, to.cols, kAdapterRank, 1, Layout::tn, type, type}, module, {low}, {added});
  forward(Elementwise{ElementwiseKind::add, to.elements(), 2 * to.bytes(), to.bytes()}, module,
          {y, added}, {y});
  on_backward(module, [=, this] {
    const BufferId dlow = value("d.adapter." + to.name, from.rows, kAdapterRank, type);
    BufferId dx = value("d.adapter input", from.rows, from.cols, from.dtype);
    const BufferId dy = gradient_of(y);
    backward(Gemm{kAdapterRank, to.cols, to.rows, 1, Layout::nt, type, type}, module, {dy, low},
             {});
    backward(Gemm{to.rows, kAdapterRank, to.cols, 1, Layout::nn, type, type}, module, {dy}, {dlow});
    backward(Gemm{kAdapterRank, from.cols, from.rows, 1, Layout::nt, type, type}, module,
             {dlow, in}, {});
    backward(Gemm{from.rows, from.cols, kAdapterRank, 1, Layout::nn, type, type}, module, {dlow},
             {dx});
    if (mask >= 0) {
      const BufferId dropped = dx;
      dx = value("d.adapter input.dropped", from.rows, from.cols, from.dtype);
      backward(Elementwise{ElementwiseKind::dropout, from.elements(),
                           from.bytes() + from.elements(), from.bytes()},
               module, {dropped, mask}, {dx});
    }
    give(x, dx, module);
  });
}

}  // namespace meshplan
