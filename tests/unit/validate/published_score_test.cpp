// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "tests/unit/catch.hpp"
#include "validate/published/score.hpp"

using namespace meshplan;

namespace {

ScoredRow timed(const std::string& id, const std::string& family, double measured,
                std::optional<double> predicted) {
  ScoredRow row;
  row.id = id;
  row.family = family;
  row.tier = "gold";
  row.plan_key = id;
  row.measured_step_s = measured;
  row.predicted_step_s = predicted;
  row.refused = !predicted;
  row.fits = predicted ? std::optional<bool>(true) : std::nullopt;
  return row;
}

}  // namespace

TEST_CASE("step time: mean over sources, refused rows, small sources", "[published]") {
  const std::vector<ScoredRow> rows = {
      timed("a1", "A", 10, 11.0),                                    // +10 %
      timed("a2", "A", 10, 8.0),                                     // -20 %
      timed("a3", "A", 10, std::nullopt), timed("b1", "B", 2, 2.2),  // +10 %
      timed("b2", "B", 2, 2.1),                                      // +5 %
      timed("b3", "B", 2, 2.0),                                      // 0
      timed("c1", "C", 1, 2.0),  // one row: no part of the mean over sources
  };
  const Score s = score(rows);
  // A: (0.1 + 0.2 + 1) / 3 = 0.43333, B: 0.05.
  CHECK(s.step_mean_over_sources == Approx((1.3 / 3 + 0.05) / 2));
  // Sorted errors: 0 0.05 0.1 0.1 0.2 1 1.
  CHECK(s.step_median == Approx(0.1));
  // (0.1 - 0.2 + 0.1 + 0.05 + 0 + 1) / 6
  CHECK(s.step_signed_mean == Approx(1.05 / 6));
  CHECK(s.gold_rows == 7);
  CHECK(s.refused == 1);
  CHECK(std::isnan(s.silver_mean_over_sources));
}

TEST_CASE("silver rows and runs out of memory are no part of the gold figures", "[published]") {
  std::vector<ScoredRow> rows = {timed("a", "A", 1, 1.1), timed("b", "A", 1, 1.1),
                                 timed("c", "A", 1, 1.1), timed("d", "A", 1, 9.0),
                                 timed("e", "A", 1, 3.0)};
  rows[3].ran = false;
  rows[4].tier = "silver";
  const Score s = score(rows);
  CHECK(s.step_mean_over_sources == Approx(0.1));
  CHECK(s.silver_rows == 1);
  CHECK(s.silver_median == Approx(2.0));
}

TEST_CASE("memory: error of the peak and shares as means over families", "[published]") {
  std::vector<ScoredRow> rows;
  const auto add = [&](const std::string& family, bool ran, std::optional<bool> fits) {
    ScoredRow row = timed("r", family, 1, 1.0);
    row.ran = ran;
    row.fits = fits;
    row.refused = !fits;
    rows.push_back(row);
  };
  // A: three of four runs feasible; B: all of three. A: two of three oom; one oom row of B.
  for (const bool fits : {true, true, true, false}) add("A", true, fits);
  for (int i = 0; i < 3; ++i) add("B", true, true);
  for (const bool fits : {false, false, true}) add("A", false, fits);
  add("B", false, true);
  rows[0].measured_bytes = 50e9;
  rows[0].predicted_bytes = 55e9;
  rows[4].measured_bytes = 40e9;
  rows[4].predicted_bytes = 32e9;
  Score s = score(rows);
  CHECK(s.ran_called_feasible == Approx((0.75 + 1) / 2));
  CHECK(s.oom_called_infeasible == Approx(2.0 / 3));
  CHECK(s.ran_called_feasible_rows == Approx(6.0 / 7));
  CHECK(s.oom_called_infeasible_rows == Approx(2.0 / 4));
  CHECK(s.memory_mean == Approx((0.1 + 0.2) / 2));
  CHECK(s.memory_rows == 2);
  // A refusal counts as wrong unless the row states too little to ask.
  add("B", true, std::nullopt);
  CHECK(score(rows).ran_called_feasible == Approx((0.75 + 0.75) / 2));
  rows.back().states_too_little = true;
  CHECK(score(rows).ran_called_feasible == Approx((0.75 + 1) / 2));
}

TEST_CASE("Kendall's tau-b by hand", "[published]") {
  CHECK(kendall_tau({1, 2, 3}, {10, 20, 30}) == Approx(1));
  CHECK(kendall_tau({1, 2, 3}, {30, 20, 10}) == Approx(-1));
  // Pairs: (1,2)+ (1,3)+ (1,4)+ (2,3)- (2,4)+ (3,4)+ -> (5 - 1) / 6.
  CHECK(kendall_tau({1, 2, 3, 4}, {1, 3, 2, 4}) == Approx(4.0 / 6));
  // One tie in b: 5 concordant, 0 discordant, 6 pairs in a, 5 in b.
  CHECK(kendall_tau({1, 2, 3, 4}, {1, 2, 2, 4}) == Approx(5 / std::sqrt(30.0)));
  CHECK(kendall_tau({1, 2}, {7, 7}) == 0);
}

TEST_CASE("order: tau and regret within groups, repeated plans count once", "[published]") {
  std::vector<ScoredRow> rows = {timed("p", "A", 10, 12.0), timed("q", "A", 11, 11.0),
                                 timed("r", "A", 20, 21.0), timed("x", "A", 5, 5.0),
                                 timed("y", "A", 6, 7.0),   timed("alone", "A", 1, 1.0)};
  for (int i = 0; i < 3; ++i) rows[static_cast<size_t>(i)].group = "first";
  rows[3].group = rows[4].group = "second";
  rows[5].group = "third";
  // First: q is predicted best, measured 11 against 10; pairs (p,q)- (p,r)+ (q,r)+ -> tau 1/3.
  Score s = score(rows);
  CHECK(s.groups == 2);
  CHECK(s.order_regret == Approx((0.1 + 0) / 2));
  CHECK(s.order_tau == Approx((1.0 / 3 + 1) / 2));
  // The plan of p measured again and slower changes nothing.
  rows.push_back(timed("p again", "A", 15, 12.0));
  rows.back().group = "first";
  rows.back().plan_key = "p";
  s = score(rows);
  CHECK(s.order_regret == Approx(0.05));
  CHECK(s.order_tau == Approx((1.0 / 3 + 1) / 2));
  // Two plans predicted equally fast share the regret: (10 + 11) / 2 over 10.
  rows[0].predicted_step_s = 11.0;
  CHECK(score(rows).order_regret == Approx(0.05 / 2));
}
