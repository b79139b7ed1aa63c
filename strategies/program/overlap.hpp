// SPDX-License-Identifier: Apache-2.0
// Which communication within a pass over a layer runs beside other operations, and which operations
// are carried out as one? The cost model prices overlap by these rules, the executor carries it
// out.
#pragma once
#include "strategies/program/program.hpp"

namespace meshplan {

/// Collectives of this group begin when their operands are there; only what reads the result waits
/// for it. Else every later operation waits.
bool overlapped(Group group, const Trainer& trainer);

/// Two operations of a phase that the executor carries out as one. With TpOverlap::ring a
/// collective and its product go piece by piece, one per tensor-parallel rank, exchanged while the
/// product of another piece is made (Wang et al. 2023, "Overlap communication with dependent
/// computation via decomposition").
enum class Joint : uint8_t {
  none,
  gather_product,   ///< all-gather of rows, then a product of them
  product_scatter,  ///< product, then reduce-scatter of its rows
  sum_norm,         ///< residual sum, then RMSNorm of it
};
/// Of operations i and i + 1 of the phase.
Joint joint_at(const Block& block, Phase phase, size_t i, const Plan& plan, const Trainer& trainer);

}  // namespace meshplan
