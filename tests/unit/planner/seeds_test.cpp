// SPDX-License-Identifier: Apache-2.0
#include "planner/search/seeds.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("a plan of 64 GPUs as it is on 128: twice the dp, the stages, tp or cp") {
  SearchQuestion q{*find_model("llama3-8b"), *find_cluster("128xH100"), Batch{8192, 256},
                   *default_trainer()};
  Plan seed;
  seed.tp = 2;
  seed.pp = 2;
  seed.dp_shard = 16;
  seed.zero = 1;
  q.seeds = {seed, seed};
  const auto like = plans_like(q);
  REQUIRE(like.size() == 5);  // none twice
  CHECK(like[0].second.dp_shard == 32);
  CHECK(like[1].second.dp_replicate == 2);
  CHECK(like[2].second.pp == 4);
  CHECK(like[3].second.tp == 4);
  CHECK(like[4].second.cp == 2);
  for (const auto& [choice, plan] : like) {
    CHECK(plan.world() == 128);
    CHECK(choice.tp == plan.tp);
    CHECK(choice.cp == plan.cp);
  }
  q.tp.values = {2};  // constraints hold for seeds, too
  q.dp_shard.values = {32};
  CHECK(plans_like(q).size() == 1);
}
