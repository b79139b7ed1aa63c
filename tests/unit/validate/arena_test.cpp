// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"
#include "validate/execute/arena_layout.hpp"
#include "validate/execute/expected_memory.hpp"

namespace meshplan {
namespace {

TEST_CASE("places of three buffers, of which two are never alive at once") {
  //               state        large       small 1     small 2
  const std::vector<Life> lives = {{1024, 0, -1}, {512, 1, 6}, {256, 2, 3}, {200, 4, 5}};
  const ArenaLayout layout = lay_out(lives, 1);
  CHECK(layout.offset == std::vector<int64_t>{0, 1024, 1536, 1536});
  CHECK(layout.bytes == 1024 + 512 + 256);
  CHECK(layout.first_step == 1);
}

TEST_CASE("a small buffer goes into the hole between two larger ones") {
  // the first of the three in a row is gone when the last one comes
  const std::vector<Life> lives = {{512, 0, 4}, {768, 1, 10}, {256, 5, 9}};
  const ArenaLayout layout = lay_out(lives, 0);
  CHECK(layout.offset[1] == 0);
  CHECK(layout.offset[0] == 768);
  CHECK(layout.offset[2] == 768);
  CHECK(layout.bytes == 1280);
}

TEST_CASE("buffers that live at the same time never overlap, and little is lost") {
  Plan plan = test::fp32_plan();
  plan.pp = 2;
  plan.dp_shard = 2;
  plan.zero = 3;
  plan.recompute = Recompute::full;
  const Trainer trainer = test::fp32_trainer();
  const auto program = lower(test::small_llama(), plan, {test::kSequence, 8}, trainer);
  REQUIRE(program.ok());
  const RunOptions options;
  for (int rank = 0; rank < plan.world(); ++rank) {
    const Result<ArenaLayout> layout = lay_out_rank(*program, options, rank);
    REQUIRE(layout.ok());
    const RankPlace place = place_of_rank(plan, trainer.rank_order, rank).value();
    const ExpectedMemory expected = expected_memory(*program, place).value();
    CHECK(layout->bytes >= expected.peak);
    CHECK(static_cast<double>(layout->bytes) < 1.25 * static_cast<double>(expected.peak));
  }
}

TEST_CASE("an allocation out of order is noticed") {
  Arena arena;
  std::vector<std::byte> memory(1024);
  arena.lie_at(memory.data(), {.bytes = 768, .first_step = 1, .offset = {0, 256}, .size = {64, 8}});
  Meter meter;
  CHECK(arena.allocate(64, &meter).ok());
  CHECK_FALSE(arena.allocate(64, &meter).ok());
  {
    const auto first = arena.allocate(8, &meter);
    REQUIRE(first.ok());
    CHECK(first->get() == memory.data() + 256);
    CHECK(arena.total.alive == 8);
  }
  const auto again = arena.allocate(8, &meter);  // the next step
  REQUIRE(again.ok());
  CHECK(again->get() == memory.data() + 256);
}

}  // namespace
}  // namespace meshplan
