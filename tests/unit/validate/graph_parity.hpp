// SPDX-License-Identifier: Apache-2.0
// Does a device train small graphs as the CPU does? Every operator, relations of both kinds, every
// loss, with the options taking turns.
#pragma once
#include <string>
#include <vector>

#include "profiler/kernels/graph_device.hpp"
#include "topologies/base/dtype.hpp"

namespace meshplan::test {

struct GraphParity {
  std::string name;
  DType products = DType::fp32;
  /// Largest difference from the CPU by what is largest there: rows, their sums, operators; of the
  /// loss of a round.
  double rows = 0, operators = 0, loss = 0;
  bool same_again = false;  ///< a second run gives the same bytes
};

/// Error: the device's.
Result<std::vector<GraphParity>> graph_parity(graph::GraphDevice& device);

}  // namespace meshplan::test
