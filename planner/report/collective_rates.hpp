// SPDX-License-Identifier: Apache-2.0
// What do collectives over all GPUs of a cluster reach, by size? As nccl-tests prints it: time and
// bus bandwidth of one group alone.
#pragma once
#include "planner/report/sheet.hpp"
#include "topologies/cluster/cluster.hpp"

namespace meshplan::report {

struct CollectiveRates {
  Cluster cluster;
  struct Rate {
    const char* name;  ///< all_reduce, all_gather, reduce_scatter
    double seconds = 0;
    double bus_bytes_per_s =
        0;  ///< bytes / seconds x 2 (n - 1) / n for all-reduce, (n - 1) / n else
  };
  struct Row {
    double bytes = 0;
    std::vector<Rate> rates;
  };
  std::vector<Row> rows;  ///< 1 MiB to 16 GiB
};
/// Errors: the GPU's tables are missing.
Result<CollectiveRates> collective_rates(const Cluster& cluster);
std::string to_text(const CollectiveRates& rates);
Json to_json(const CollectiveRates& rates);

}  // namespace meshplan::report
