// SPDX-License-Identifier: Apache-2.0
#include "costmodel/goodput/goodput.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("optimal intervals between checkpoints, by hand") {
  CHECK(young_interval_s(50, 10'000) == Approx(1000));  // sqrt(2 * 50 * 10,000)
  // 1000 (1 + sqrt(0.0025) / 3 + 0.0025 / 9) - 50 = 1000 * 1.0169444 - 50
  CHECK(daly_interval_s(50, 10'000) == Approx(966.9444).epsilon(1e-6));
  CHECK(daly_interval_s(6'000, 10'000) == 10'000);
}

TEST_CASE("no other interval is better than Daly's by more than a thousandth") {
  const double d = 30, r = 600, m = 9'000;
  const double best = effective_share(daly_interval_s(d, m), d, r, m);
  for (double t = 100; t < 3'000; t += 50) CHECK(effective_share(t, d, r, m) < best * 1.001);
}

TEST_CASE("Llama 3: 466 interruptions in 54 days, more than nine tenths of the time effective") {
  const auto reliability = load_reliability();
  REQUIRE(reliability.ok());
  const Model model = *find_model("llama3-405b");
  Trainer trainer = *find_trainer("llama3-meta");
  const double bytes = checkpoint_bytes(model, trainer, DType::bf16);
  const Goodput g = goodput_of(16'384, bytes, *reliability);
  CHECK(54 * 86'400 / g.interruption_every_s == Approx(466).epsilon(1e-3));
  CHECK(g.effective_share > 0.90);
  CHECK(g.effective_share < 0.95);
  // Twice the rate, or storage a thousand times slower, is worse.
  Reliability worse = *reliability;
  worse.interruptions_per_gpu_hour *= 2;
  CHECK(goodput_of(16'384, bytes, worse).effective_share < g.effective_share);
  worse = *reliability;
  worse.storage_bytes_per_s /= 1000;
  CHECK(goodput_of(16'384, bytes, worse).effective_share < 0.8);
}

TEST_CASE("weights, master weights and moments of a checkpoint") {
  Model model = *find_model("llama3-8b");
  Trainer trainer = *default_trainer();
  trainer.master_weights = true;
  trainer.optimizer_moment = DType::fp32;
  const auto n = static_cast<double>(parameters(model));
  CHECK(checkpoint_bytes(model, trainer, DType::bf16) == Approx(14 * n));
  trainer.master_weights = false;
  CHECK(checkpoint_bytes(model, trainer, DType::bf16) == Approx(12 * n));
}

TEST_CASE("unequal ranks stretch every step; without failures all time is effective") {
  Reliability r;
  r.storage_bytes_per_s = 1e12;
  r.straggler_sigma = 0.01;
  const Goodput g = goodput_of(1'024, 1e12, r);
  CHECK(g.effective_share == 1);
  CHECK(g.straggler_factor ==
        Approx(1 + 0.01 * 3.2341).epsilon(1e-4));  // normal quantile of 1023.625 / 1024.25
}
