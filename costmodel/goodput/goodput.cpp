// SPDX-License-Identifier: Apache-2.0
#include "costmodel/goodput/goodput.hpp"

#include <cmath>

#include "costmodel/collectives/normal.hpp"
#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"

namespace meshplan {

Result<Reliability> load_reliability() {
  MESHPLAN_TRY(MapReader file, MapReader::open(data_root() + "/costmodel/data/reliability.yaml"));
  Reliability out;
  out.interruptions_per_gpu_hour = file.number("interruptions_per_million_gpu_hours") / 1e6;
  out.restart_s = file.number("restart_s");
  out.storage_bytes_per_s = file.positive("storage_gb_per_s") * 1e9;
  out.straggler_sigma = file.number("straggler_sigma_ratio");
  out.source = file.texts("source");
  MESHPLAN_CHECK(file.finish());
  return out;
}

double checkpoint_bytes(const Model& model, const Trainer& trainer, DType compute) {
  const bool wide = compute == DType::fp32 || !trainer.master_weights;
  const double weights = wide ? 4 : 2 + 4;  // with master weights both copies are written
  return static_cast<double>(parameters(model)) *
         (weights + 2 * static_cast<double>(bytes_of(trainer.optimizer_moment)));
}

double young_interval_s(double checkpoint_s, double interruption_every_s) {
  return std::sqrt(2 * checkpoint_s * interruption_every_s);
}

double daly_interval_s(double checkpoint_s, double interruption_every_s) {
  if (checkpoint_s >= interruption_every_s / 2) return interruption_every_s;
  const double ratio = checkpoint_s / (2 * interruption_every_s);
  return young_interval_s(checkpoint_s, interruption_every_s) *
             (1 + std::sqrt(ratio) / 3 + ratio / 9) -
         checkpoint_s;
}

double effective_share(double interval_s, double checkpoint_s, double restart_s,
                       double interruption_every_s) {
  const double m = interruption_every_s;
  return interval_s / (m * std::exp(restart_s / m) * std::expm1((interval_s + checkpoint_s) / m));
}

Goodput goodput_of(int64_t gpus, double bytes, const Reliability& reliability) {
  Goodput out;
  const auto n = static_cast<double>(gpus);
  out.checkpoint_bytes = bytes;
  out.checkpoint_s = bytes / reliability.storage_bytes_per_s;
  if (gpus > 1) {
    out.straggler_factor = 1 + reliability.straggler_sigma * expected_maximum(gpus);
  }
  if (reliability.interruptions_per_gpu_hour <= 0) return out;
  out.interruption_every_s = 3600 / (reliability.interruptions_per_gpu_hour * n);
  out.interval_s = daly_interval_s(out.checkpoint_s, out.interruption_every_s);
  out.effective_share = effective_share(out.interval_s, out.checkpoint_s, reliability.restart_s,
                                        out.interruption_every_s);
  return out;
}

}  // namespace meshplan
