// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/constants.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan {

TEST_CASE("Every host class has costs, and a graph is cheaper than eager", "[kernels]") {
  for (const HostClass host :
       {HostClass::eager, HostClass::compiled, HostClass::graph, HostClass::native})
    REQUIRE(load_host_costs(host).ok());
  CHECK(load_host_costs(HostClass::eager)->kernel_s == Approx(7e-6));
  CHECK(load_host_costs(HostClass::graph)->kernel_s < load_host_costs(HostClass::eager)->kernel_s);
}

TEST_CASE("Overlap facts are shares of time", "[kernels]") {
  const auto facts = load_overlap_facts();
  REQUIRE(facts.ok());
  CHECK(facts->compute_slowdown == Approx(0.189));
  CHECK(facts->compute_slowdown < facts->compute_slowdown_max);
}

}  // namespace meshplan
