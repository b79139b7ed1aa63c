// SPDX-License-Identifier: Apache-2.0
// How long does one phase of a block take when its kernels and its collectives run on streams of
// their own?
//
// One compute stream and one stream per group, each in program order; an operation starts when its
// stream is free and its operands are there. What the trainer does not overlap blocks both.
#pragma once
#include <array>

#include "costmodel/step/op_price.hpp"

namespace meshplan {

struct PhaseTime {
  double wall = 0;  ///< seconds; gemm + attention + memory + exposed + slowdown + host
  double gemm = 0;
  double attention = 0;                      ///< core attention, materialised or not
  double memory = 0;                         ///< memory-bound operations
  std::array<double, kGroups> exposed = {};  ///< waiting for a group's collectives
  std::array<double, kGroups> network = {};  ///< their whole time, hidden or not
  double occupied = 0;                       ///< the same, each times its occupancy
  double slowdown = 0;                       ///< of kernels that share the GPU with a collective
  double host = 0;                           ///< GPU waiting for launches
  double kernels = 0;                        ///< launched
  double collectives = 0;                    ///< called

  double compute() const { return gemm + attention + memory; }
  PhaseTime& operator+=(const PhaseTime& other);
  PhaseTime scaled(double factor) const;
};

/// Host and overlap figures; from costmodel/data.
struct StreamRules {
  double kernel_launch_s = 0;      ///< host time per kernel
  double graph_launch_s = 0;       ///< of the trainer's graphed_modules
  double collective_launch_s = 0;  ///< per collective
  double overlap_slowdown = 0;     ///< extra kernel time per second of overlap
  /// Ranks do not reach a collective together: kernel times and hosts differ, also where the work
  /// is the same. The first one after products that its phase does not overlap
  /// (strategies/program/overlap.hpp) waits for the last of n ranks: this times the expected
  /// maximum of n standard normal values.
  double rank_skew_s = 0;
  bool overlap_experts = false;  ///< exchanges of experts hide behind another micro-batch
};

PhaseTime phase_time(const Block& block, Phase phase, const PriceContext& context,
                     const StreamRules& rules);

}  // namespace meshplan
