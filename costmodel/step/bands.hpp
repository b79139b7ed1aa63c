// SPDX-License-Identifier: Apache-2.0
// How far off may an estimate be? 80 % intervals of measured over predicted step time and memory,
// learnt from published runs by class and kept in costmodel/data/error_bands.yaml
// (validate/published/bands.hpp learns and writes them).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "topologies/base/result.hpp"

namespace meshplan {

/// Interval of measured over predicted; 1 lies in it or near it.
struct Band {
  double low_ratio = 1, high_ratio = 1;
};

/// What errors are told apart by.
struct BandClass {
  std::string trainer;     ///< Trainer::family; "" = any
  std::string gpu_family;  ///< Gpu::family; "" = any
  bool several_nodes = false;
  bool moe = false;
  auto operator<=>(const BandClass&) const = default;  // NOLINT(modernize-use-nullptr): not ours
};

/// Bands of one quantity by class.
struct ErrorBands {
  struct Entry {
    int level = 0;  ///< 0 global, 1 nodes and moe, 2 + trainer, 3 + GPU family
    BandClass of;
    Band band;
    int rows = 0;
  };
  double widening = 1;           ///< about the middle, so that rows left out are covered
  double coverage_left_out = 0;  ///< share of rows of sources left out that their bands cover
  std::vector<Entry> entries;    ///< sorted by level, then class

  /// Band of the most specific class that is known.
  Band band_for(const BandClass& asked) const;
};

/// Class on a level: what it does not tell apart is cleared.
BandClass at_level(const BandClass& full, int level);
constexpr int kBandLevels = 4;

struct EstimateBands {
  std::string fitted_on;
  ErrorBands step;    ///< step time
  ErrorBands memory;  ///< peak, as the run's trainer reports it
};

/// The bundled file. Error (input): missing or not as described.
Result<EstimateBands> load_error_bands();
Result<EstimateBands> read_error_bands(const std::string& path);
/// Text of such a file.
std::string to_yaml(const EstimateBands& bands);

}  // namespace meshplan
