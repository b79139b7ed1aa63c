// SPDX-License-Identifier: Apache-2.0
// How long does a matrix product of a shape take, from a grid of measured shapes?
//
// An analytic model takes care of what is regular (arithmetic, traffic, tiles per wave of SMs); the
// grid holds the logarithm of measured over modelled time, interpolated linearly in
// (log m, log n, log k). Outside of the grid the nearest residual holds.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

/// The device as the analytic model sees it.
struct GemmChip {
  int sm_count = 1;
  double flops_per_s = 1;  ///< dense peak of the input type at the clock to be priced
  double bytes_per_s = 1;  ///< device memory
  double launch_s = 4e-6;  ///< start and end of a kernel, as seen by back-to-back kernels
  /// 0: time grows smoothly with the shape (stream-K); 1: whole waves of tiles.
  double quantisation = 0.5;
};

struct GemmShape {
  int64_t m, n, k;
  int64_t groups = 1;
  int64_t in_bytes = 2, out_bytes = 2;  ///< of one element
};

/// Seconds of the model alone: exp of the weighted mean of the logs of
/// launch + FLOPs/peak + bytes/rate  and  launch + |(waves of tiles, bytes / (0.85 rate))|_4.
double analytic_gemm_seconds(const GemmChip& chip, const GemmShape& shape);

class GemmTable {
 public:
  struct Residual {
    double log = 0;      ///< of measured over modelled time
    double error = 0;    ///< relative, from the spread of the neighbours and the distance outside
    bool exact = false;  ///< a measured point
  };
  struct Point {
    int64_t m, n, k;
    double seconds;
  };

  /// `chip`: the device that the table was measured on, at the clocks of the measurement.
  static Result<GemmTable> read(const std::string& path, const GemmChip& chip,
                                const GemmShape& types);

  Residual residual(double m, double n, double k) const;
  double seconds(const GemmChip& chip, const GemmShape& shape, Residual* used = nullptr) const;

  /// Prediction of each grid point with m, n, k >= smallest from its neighbours along each axis
  /// without itself: |predicted / measured - 1|, sorted.
  std::vector<double> leave_one_out(int64_t smallest) const;
  /// Same for the points that the grid leaves out: one token above a tile border. Truly unseen.
  std::vector<double> held_out() const;

 private:
  size_t at(size_t i, size_t j, size_t l) const {
    return (i * axis_[1].size() + j) * axis_[2].size() + l;
  }
  void fill_gaps();

  GemmChip chip_;
  GemmShape types_ = {1, 1, 1};
  std::array<std::vector<double>, 3> axis_;  ///< log2 of m, n, k
  std::vector<float> log_;                   ///< residuals
  std::vector<bool> measured_;               ///< false: carried over from a neighbour
  std::vector<Point> held_out_;
};

}  // namespace meshplan
