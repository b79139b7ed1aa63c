// SPDX-License-Identifier: Apache-2.0
// Which operands of 8-bit products are gradients, and where do products in 8 bit run?
#pragma once
#include <string>

#include "profiler/kernels/fp8.hpp"
#include "strategies/program/program.hpp"

namespace meshplan {

/// e5m2 for what is the first operand of a product that makes an input or weight gradient, e4m3 for
/// values and weights (Micikevicius et al. 2022, section 3).
cpu::Fp8 fp8_format(const Block& block, BufferId id);

/// Why a GPU of this compute capability (90 for 9.0) makes no 8-bit products; empty: it does.
std::string no_fp8(int compute_capability);

}  // namespace meshplan
