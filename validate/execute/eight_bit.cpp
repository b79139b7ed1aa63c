// SPDX-License-Identifier: Apache-2.0
#include "validate/execute/eight_bit.hpp"

#include <fmt/format.h>

namespace meshplan {

cpu::Fp8 fp8_format(const Block& block, BufferId id) {
  for (const std::vector<Op>& ops : block.phases) {
    for (const Op& op : ops) {
      const auto* gemm = std::get_if<Gemm>(&op.body);
      if (gemm != nullptr && gemm->layout != Layout::tn && op.in[0] == id) return cpu::Fp8::e5m2;
    }
  }
  return cpu::Fp8::e4m3;
}

std::string no_fp8(int compute_capability) {
  if (compute_capability >= 89) return "";
  return fmt::format("8-bit products on a GPU of compute capability {}.{}: they take 8.9",
                     compute_capability / 10, compute_capability % 10);
}

}  // namespace meshplan
