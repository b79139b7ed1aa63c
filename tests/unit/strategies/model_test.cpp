// SPDX-License-Identifier: Apache-2.0
#include "strategies/model/model.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("every bundled model is read, and has the published number of parameters") {
  // The reader compares the published total in the file with the count of the shape.
  REQUIRE(model_names().size() > 60);
  for (const auto& name : model_names()) {
    const auto model = find_model(name);
    INFO(name);
    if (!model.ok()) UNSCOPED_INFO(render(model.error()));
    CHECK(model.ok());
    if (model.ok()) CHECK(model->id == name);
  }
}
