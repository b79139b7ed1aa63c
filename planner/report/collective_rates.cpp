// SPDX-License-Identifier: Apache-2.0
#include "planner/report/collective_rates.hpp"

#include <fmt/format.h>

#include "costmodel/collectives/collectives.hpp"
#include "planner/report/format.hpp"
#include "planner/report/table.hpp"

namespace meshplan::report {

Result<CollectiveRates> collective_rates(const Cluster& cluster) {
  MESHPLAN_TRY(const CollectiveModel model, CollectiveModel::load(cluster.gpu));
  CollectiveRates out;
  out.cluster = cluster;
  const int64_t n = cluster.gpus();
  const GroupLinks links = links_of(cluster, {{n, 1}}, n);
  const double others = static_cast<double>(n - 1) / static_cast<double>(n);
  for (double bytes = 1 << 20; bytes <= 16.0 * (1 << 30); bytes *= 2) {
    CollectiveRates::Row row;
    row.bytes = bytes;
    const auto add = [&](const char* name, CollectiveOp op, double factor) {
      const double seconds = model.time(op, bytes, links).seconds;
      row.rates.push_back({name, seconds, seconds > 0 ? factor * bytes / seconds : 0});
    };
    add("all_reduce", CollectiveOp::all_reduce, 2 * others);
    add("all_gather", CollectiveOp::all_gather, others);
    add("reduce_scatter", CollectiveOp::reduce_scatter, others);
    out.rows.push_back(std::move(row));
  }
  return out;
}

std::string to_text(const CollectiveRates& rates) {
  std::string out =
      fmt::format("collectives over {} x {}: time, and bus bandwidth as nccl-tests counts it\n\n",
                  grouped(rates.cluster.gpus()), rates.cluster.gpu.name);
  Table table({{"size", Align::right},
               {"all-reduce", Align::right},
               {"", Align::right},
               {"all-gather", Align::right},
               {"", Align::right},
               {"reduce-scatter", Align::right},
               {"", Align::right}});
  for (const auto& row : rates.rows) {
    std::vector<std::string> cells = {gib(row.bytes)};
    for (const auto& rate : row.rates) {
      cells.push_back(seconds(rate.seconds));
      cells.push_back(gb_per_s(rate.bus_bytes_per_s));
    }
    table.add(std::move(cells));
  }
  return out + table.text();
}

Json to_json(const CollectiveRates& rates) {
  Json rows = Json::array();
  for (const auto& row : rates.rows) {
    Json line = {{"bytes", static_cast<int64_t>(row.bytes)}};
    for (const auto& rate : row.rates)
      line[rate.name] = {{"time_s", rate.seconds}, {"bus_gb_per_s", rate.bus_bytes_per_s / 1e9}};
    rows.push_back(std::move(line));
  }
  return rows;
}

}  // namespace meshplan::report
