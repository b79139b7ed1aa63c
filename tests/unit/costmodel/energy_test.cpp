// SPDX-License-Identifier: Apache-2.0
#include "costmodel/energy/energy.hpp"

#include "costmodel/step/estimate.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("energy of a step: seconds in each state times the watts of that state") {
  StepEstimate step;
  step.step_s = 2;
  step.time = {{"matrix products", 1.0},
               {"memory-bound kernels", 0.25},
               {"data parallel, exposed", 0.5},
               {"pipeline bubble", 0.25}};
  step.tokens_per_s_per_gpu = 1000;
  Cluster cluster = *find_cluster("8xH100");
  cluster.gpu.power_limit_w = 700;
  cluster.host.power_w = 4000;
  const PowerShares shares{1.0, 0.8, 0.5, 0.2, 0.6, 1.1};
  const StepPower power = power_of(step, cluster, shares);
  // 700 J + 140 J + 175 J + 35 J = 1,050 J in 2 s
  CHECK(power.gpu_w == Approx(525));
  CHECK(power.per_gpu_w == Approx(525 + 0.6 * 4000 / 8));
  CHECK(power.facility_w == Approx(1.1 * 825));
  CHECK(power.tokens_per_joule == Approx(1000 / 907.5));
  // 8 x (2 USD + 0.9075 kW x 0.1 USD)
  CHECK(usd_per_hour(power, 8, {2, 0.1, 20, {}}) == Approx(16.726));
}

TEST_CASE("the parts of a real step are told apart") {
  CHECK(state_of("attention") == PowerState::products);
  CHECK(state_of("optimizer") == PowerState::memory);
  CHECK(state_of("pipeline transfers, exposed") == PowerState::communicating);
  CHECK(state_of("launches") == PowerState::waiting);
  const auto shares = load_power_shares();
  REQUIRE(shares.ok());
  Plan plan;
  plan.tp = 8;
  plan.dp_shard = 2;
  plan.zero = 1;
  const Cluster cluster = *find_cluster("16xH100");
  const auto step =
      estimate_step(*find_model("llama3-8b"), plan, Batch{8192, 16}, *default_trainer(), cluster);
  REQUIRE(step.ok());
  const StepPower power = power_of(*step, cluster, *shares);
  CHECK(power.gpu_w > shares->waiting * 700);
  CHECK(power.gpu_w < shares->products * 700);
}
