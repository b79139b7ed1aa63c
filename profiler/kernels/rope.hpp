// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021, eq. 34) on the CPU, in the half-split order of HF
// checkpoints: element i of a head turns with element i + head_dim/2 by the angle position * f_i,
// f_i = theta^(-2i/head_dim), with the frequency scaling of Llama 3.1 where the model asks for it.
// Positions are given per row, because under context parallelism a rank's rows are not a run from
// 0.
#pragma once
#include <cstdint>
#include <optional>

#include "profiler/kernels/elementwise.hpp"

namespace meshplan::cpu {

/// `rope_scaling` of rope_type "llama3" in an HF config.json: wavelengths above
/// original_positions / low_frequency_factor are stretched by `factor`, those below
/// original_positions / high_frequency_factor kept, those between interpolated.
struct RopeScaling {
  double factor = 8;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  int64_t original_positions = 8192;
};

struct RopeConfig {
  int64_t head_dim = 0;  ///< even
  double theta = 10000;
  std::optional<RopeScaling> scaling;
};

/// cosine, sine [positions, head_dim / 2] of positions 0 .. positions-1. For float the frequencies
/// and angles are rounded to float on the way, as HF computes them: at position 8192 that is an
/// angle error of 5e-4, and a more exact table would be a different model.
template <class T>
void rope_table(const RopeConfig& config, int64_t positions, T* cosine, T* sine);

enum class Turn : uint8_t { forward, backward };  ///< backward turns by the negative angle

/// x, y [rows, heads, head_dim] with row_stride elements from row to row (parts of a fused qkv
/// buffer); y may be x. position[r] is the row's place in the sequence and a row of the table.
template <class T>
void rope(Workers& workers, Turn turn, int64_t rows, int64_t heads, int64_t head_dim,
          const int32_t* position, const T* cosine, const T* sine, const T* x, int64_t x_row_stride,
          T* y, int64_t y_row_stride);

}  // namespace meshplan::cpu
