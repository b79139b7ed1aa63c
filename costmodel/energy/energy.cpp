// SPDX-License-Identifier: Apache-2.0
#include "costmodel/energy/energy.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {

PowerState state_of(const std::string& part) {
  static const std::array<std::pair<const char*, PowerState>, 6> kStates = {{
      {"matrix products", PowerState::products},
      {"attention", PowerState::products},
      {"slowdown beside collectives", PowerState::products},
      {"memory-bound kernels", PowerState::memory},
      {"optimizer", PowerState::memory},
      {"tied embedding gradients", PowerState::communicating},
  }};
  for (const auto& [name, state] : kStates) {
    if (part == name) return state;
  }
  return part.find("exposed") != std::string::npos ? PowerState::communicating
                                                   : PowerState::waiting;
}

Result<PowerShares> load_power_shares() {
  MESHPLAN_TRY(MapReader file, MapReader::open(data_root() + "/costmodel/data/power.yaml"));
  PowerShares out;
  out.products = file.positive("products_share");
  out.memory = file.positive("memory_share");
  out.communicating = file.positive("communicating_share");
  out.waiting = file.positive("waiting_share");
  out.host = file.positive("host_share");
  out.pue = file.positive("pue");
  out.source = file.texts("source");
  out.assumed = file.texts("assumed");
  MESHPLAN_CHECK(file.finish());
  return out;
}

StepPower power_of(const StepEstimate& step, const Cluster& cluster, const PowerShares& shares) {
  const Gpu& gpu = cluster.gpu;
  const auto share = [&](PowerState state) {
    switch (state) {
      case PowerState::products:
        return shares.products;
      case PowerState::memory:
        return shares.memory;
      case PowerState::communicating:
        return shares.communicating;
      case PowerState::waiting:
        break;
    }
    return shares.waiting;
  };
  double joules = 0;
  for (const Part& part : step.time) {
    joules += part.value * share(state_of(part.name)) * gpu.power_limit_w;
  }
  StepPower out;
  out.gpu_w = joules / step.step_s;
  out.per_gpu_w = out.gpu_w + shares.host * cluster.host.power_w /
                                  static_cast<double>(std::max<int64_t>(1, cluster.gpus_per_node));
  out.facility_w = out.per_gpu_w * shares.pue;
  out.idle_gpu_w = gpu.idle_power_w;
  out.tokens_per_joule = step.tokens_per_s_per_gpu / out.facility_w;
  return out;
}

Result<Prices> load_prices() {
  MESHPLAN_TRY(MapReader file, MapReader::open(data_root() + "/costmodel/data/prices.yaml"));
  Prices out;
  out.usd_per_gpu_hour = file.number("usd_per_gpu_hour");
  out.usd_per_kwh = file.number("usd_per_kwh");
  out.tokens_per_parameter = file.positive("tokens_per_parameter");
  out.source = file.texts("source");
  MESHPLAN_CHECK(file.finish());
  return out;
}

double usd_per_hour(const StepPower& power, int64_t gpus, const Prices& prices) {
  const auto n = static_cast<double>(gpus);
  return n * (prices.usd_per_gpu_hour + power.facility_w / 1000 * prices.usd_per_kwh);
}

}  // namespace meshplan
