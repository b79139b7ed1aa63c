// SPDX-License-Identifier: Apache-2.0
// Which measured tables and constants stand for a kernel_table id? costmodel/data/kernels.yaml.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

/// Fixed time and achieved share of the memory rate: seconds = fixed_s + bytes / (share * rate).
struct Stream {
  double fixed_s = 0, share = 1;
};

struct AttentionKernelFacts {
  double forward = 1;        ///< rate over that of the forward table
  double backward = 1;       ///< rate per FLOP over the forward's
  double backward_wide = 1;  ///< the same again for head_dim above 128
  double fill = 1;           ///< backward with p heads fills the device as forward with fill * p
};

struct KernelConfig {
  std::string id;
  std::string gemm, gemm_fp8, attention;  ///< file stems; gemm_fp8 may be empty
  int sm_count = 0;                       ///< of the board that was measured, as the next three
  double flops_per_s = 0;                 ///< dense bf16
  double bytes_per_s = 0;
  double power_limit_w = 0;
  double wave_share = 0;  ///< GemmChip::quantisation
  /// Speed of arithmetic in training over the burst table's: kernels up to 1 ms, from 3 ms.
  double training_clock_short = 1, training_clock_long = 1;
  double training_clock_fp8_short = 1, training_clock_fp8_long = 1;  ///< of 8-bit products
  /// Of state-space scans as attention: FLOP/s over the memory rate, and of one SM.
  double scan_flops_per_byte = 1, scan_flops_per_s_per_sm = 1;
  double best_product = 0;    ///< best rate of a large product over flops_per_s; 0: not known
  double grouped_call_s = 0;  ///< least time of one product of a group
  double power_exponent = 0.5;
  std::vector<std::string> families;  ///< of GPUs whose maker's libraries all tables measure
  std::vector<double> head_dims, head_dim_share;  ///< attention rate over head_dim 128; or empty

  double input_gradient = 1;  ///< rate over forward
  double output_traffic = 1;  ///< share that shows of what the output moves beyond 16 bits
  double grouped_share = 1;
  double unaligned_slowdown = 1;
  std::array<AttentionKernelFacts, 4> attention_by;  ///< FlashKernel
  Stream elementwise, norm_forward, norm_backward, norm_forward_compiled, norm_backward_compiled,
      random_rows;

  /// The kernels and collectives of a GPU of this family come from libraries that no table
  /// measures.
  bool other_libraries(const std::string& family) const;
  static Result<KernelConfig> find(const std::string& id);
};

}  // namespace meshplan
