// SPDX-License-Identifier: Apache-2.0
#include "costmodel/profile/constants.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan {

TEST_CASE("Every host class has costs, and a graph is cheaper than eager", "[kernels]") {
  for (const HostClass host : {HostClass::eager, HostClass::torch, HostClass::compiled,
                               HostClass::graph, HostClass::native})
    REQUIRE(load_host_costs(host, "hopper").ok());
  const auto eager = load_host_costs(HostClass::eager, "ampere");
  CHECK(eager->kernel_s == Approx(50e-6));
  CHECK(load_host_costs(HostClass::graph, "ampere")->kernel_s < eager->kernel_s);
}

TEST_CASE("Newer GPUs stand in machines with faster hosts", "[kernels]") {
  const auto now = load_host_costs(HostClass::eager, "hopper");
  CHECK(now->kernel_s == Approx(0.6 * 50e-6));
  CHECK(now->collective_s == Approx(0.6 * 30e-6));
  const auto unknown = load_host_costs(HostClass::eager, "no such family");
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().value == "no such family");
}

}  // namespace meshplan
