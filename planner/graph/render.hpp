// SPDX-License-Identifier: Apache-2.0
// How does the answer of a graph search read, for people and for programs?
#pragma once
#include "costmodel/energy/energy.hpp"
#include "planner/graph/search.hpp"
#include "planner/report/sheet.hpp"

namespace meshplan::graph {

/// What the answer is about and what its money is reckoned with.
struct GraphReport {
  const GraphQuestion& question;
  const GraphAnswer& answer;
  double usd_per_device_hour = 0;    ///< 0: a computer of one's own
  std::vector<std::string> assumed;  ///< of the machine and the prices
  double search_s = 0;
};

std::string to_text(const GraphReport& report);
/// Only "run" differs between two runs.
report::Json to_json(const GraphReport& report);

}  // namespace meshplan::graph
