// SPDX-License-Identifier: Apache-2.0
// What every back end of the communicator must do: run by each rank of a world of 4, on threads by
// communicator_test.cpp and on MPI processes by mpi_suite_main.cpp.
#pragma once
#include "profiler/comm/world.hpp"

namespace meshplan::test {

/// Done, or the first expectation that did not hold, with its line.
Status communicator_suite(World& world);

}  // namespace meshplan::test
