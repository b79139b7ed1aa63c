// SPDX-License-Identifier: Apache-2.0
// How long does one kernel or message take, how sure is that, and where does the figure come from?
#pragma once
#include <cstdint>

namespace meshplan {

enum class Provenance : uint8_t {
  measured,      ///< a point of a measured table of this GPU
  interpolated,  ///< between such points, or a fit of them
  scaled,        ///< measured on another GPU, carried over by the ratio of datasheet peaks
  datasheet,     ///< peak rates alone
  assumed        ///< no source; the data file says why the figure was chosen
};
const char* name_of(Provenance provenance);

struct KernelEstimate {
  double seconds = 0;
  double relative_error = 0;  ///< one standard deviation of this kernel, as a share of seconds
  Provenance provenance = Provenance::assumed;
};

}  // namespace meshplan
