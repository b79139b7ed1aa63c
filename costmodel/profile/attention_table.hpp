// SPDX-License-Identifier: Apache-2.0
// How long does causal attention forward take, from measured (head_dim, batch x heads, sequence)?
//
// As gemm_table.hpp: log of measured over modelled time, linear between the points in
// log(batch x heads), log(sequence) and log(head_dim); the nearest outside.
#pragma once
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

struct AttentionChip {
  double flops_per_s = 1;  ///< dense 16-bit peak at the clock to be priced
  double bytes_per_s = 1;
  double launch_s = 5e-6;
};

class AttentionTable {
 public:
  struct Residual {
    double log = 0;
    double error = 0;  ///< relative
    bool exact = false;
  };
  static Result<AttentionTable> read(const std::string& path, const AttentionChip& chip);

  /// Model of the kernel: launch + FLOPs / peak + bytes / rate, with FLOPs = 2 p s^2 d (half of the
  /// square, two products of 2 FLOPs) and 16-bit q, k, v, o. p = batch x heads.
  static double analytic_seconds(const AttentionChip& chip, double head_dim, double parallel,
                                 double sequence);
  Residual residual(double head_dim, double parallel, double sequence) const;
  std::vector<double> leave_one_out() const;

 private:
  struct Plane {
    double head_dim;
    std::vector<double> parallel;  ///< log2
    std::vector<double> log;       ///< [parallel][sequence]; gaps carried over
    std::vector<bool> measured;
  };
  void in_plane(const Plane& plane, double parallel, double sequence, double share,
                Residual& into) const;
  std::vector<double> sequence_;  ///< log2
  std::vector<Plane> planes_;
};

}  // namespace meshplan
