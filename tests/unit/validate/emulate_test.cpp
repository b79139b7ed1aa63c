// SPDX-License-Identifier: Apache-2.0
#include "validate/emulate/emulate.hpp"
#include "tests/unit/catch.hpp"
#include "tests/unit/validate/parity.hpp"

namespace meshplan {
namespace {

TEST_CASE("coordinates of a rank") {
  const auto choice = rank_choice_from("stage=3,tp=1,data=5");
  REQUIRE(choice.ok());
  CHECK(choice->stage == 3);
  CHECK(choice->tp == 1);
  CHECK(choice->data == 5);
  CHECK(choice->cp == 0);
  for (const char* wrong : {"stage", "stage=x", "stages=1", "tp=-1", "tp=1x"}) {
    const auto refused = rank_choice_from(wrong);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().kind == ErrorKind::usage);
  }
}

}  // namespace
}  // namespace meshplan
