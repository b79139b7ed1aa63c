// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/sources.hpp"

#include <algorithm>

#include "strategies/model/model.hpp"
#include "strategies/trainer/trainer.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

std::vector<TimeSource> sources_on(const char* cluster) {
  const auto costs = CostModel::load(*find_cluster(cluster), *load_constants());
  REQUIRE(costs.ok());
  const Model model = *find_model("llama3-8b");
  const Trainer trainer = *find_trainer("megatron-core");
  Plan plan;
  plan.dp_shard = 8;
  plan.zero = 1;
  Batch batch;
  batch.global_sequences = 32;
  batch.sequence = 8192;
  const auto sources = time_sources(**costs, {model, plan, batch, trainer});
  REQUIRE(sources.ok());
  return *sources;
}

double share_of(const std::vector<TimeSource>& sources, Provenance provenance) {
  double share = 0;
  for (const TimeSource& source : sources)
    if (source.provenance == provenance) share += source.share;
  return share;
}

}  // namespace

TEST_CASE("times of a measured GPU come from its tables, those of another are scaled") {
  const auto h100 = sources_on("1x8xH100");
  double sum = 0;
  for (const TimeSource& source : h100) {
    sum += source.share;
    CHECK(source.relative_error > 0);
    CHECK(source.relative_error < 0.5);
  }
  CHECK(sum == Approx(1));
  CHECK(share_of(h100, Provenance::measured) + share_of(h100, Provenance::interpolated) > 0.9);
  CHECK(share_of(h100, Provenance::scaled) == 0);
  const auto mi300x = sources_on("1x8xMI300X");
  CHECK(share_of(mi300x, Provenance::scaled) > 0.5);
  CHECK(std::is_sorted(mi300x.begin(), mi300x.end(), [](const TimeSource& a, const TimeSource& b) {
    return a.provenance < b.provenance;
  }));
}
