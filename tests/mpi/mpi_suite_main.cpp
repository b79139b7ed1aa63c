// SPDX-License-Identifier: Apache-2.0
// The communicator suite and the faults of communicator_test.cpp between processes:
//   mpirun -n 4 mpi_suite suite;  -n 3 mpi_suite failure;  -n 2 mpi_suite silence|mismatch|hang
// Rank 0 prints whether it saw the right outcome: a run with a fault can't exit with 0.
#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "profiler/comm/mpi_world.hpp"
#include "tests/unit/profiler/communicator_suite.hpp"

namespace {

using namespace meshplan;  // NOLINT
using Comm = std::unique_ptr<Communicator>;

Result<Comm> everyone(World& world) {
  std::vector<int> members;
  for (int r = 0; r < world.size(); ++r) members.push_back(r);
  return world.group(members, "dp");
}

Status failure(World& world) {
  MESHPLAN_TRY(const Comm comm, everyone(world));
  if (world.rank() == 2) return Diagnostic{.message = "disk is full"};
  float x = 1;
  return comm->all_reduce(&x, 1);
}

Status silence(World& world) {
  MESHPLAN_TRY(const Comm comm, everyone(world));
  float x = 1;
  return world.rank() == 1 ? Status(Done{}) : comm->all_reduce(&x, 1);
}

Status mismatch(World& world) {
  MESHPLAN_TRY(const Comm comm, everyone(world));
  float x[4] = {};
  return world.rank() == 0 ? comm->all_reduce(x, 2) : comm->all_gather(x, x, 4);
}

Status hang(World& world) {
  MESHPLAN_TRY(const Comm comm, everyone(world));
  if (world.rank() == 1) std::this_thread::sleep_for(std::chrono::seconds(3600));
  return comm->barrier();
}

struct Case {
  RankFunction function;
  std::string expected;  ///< in the error of rank 0; empty: none
};

Case case_of(const std::string& name) {
  if (name == "failure") return {failure, "disk is full"};
  if (name == "silence") return {silence, "no sign of rank 1"};
  if (name == "mismatch") return {mismatch, "rank 0: all-reduce of 8 bytes, rank 1: all-gather"};
  if (name == "hang") return {hang, "rank 1 neither communicates nor returns"};
  return {test::communicator_suite, ""};
}

}  // namespace

int main(int argc, char** argv) {
  const Case one = case_of(argc > 1 ? argv[1] : "suite");
  int own_rank = 0;
  const double timeout_s = one.expected.empty() ? 30 : 0.5;
  const Status status = run_mpi_rank({.timeout_s = timeout_s}, [&](World& world) {
    own_rank = world.rank();
    return one.function(world);
  });
  const std::string text = status.ok() ? "" : render(status.error());
  if (own_rank == 0) {
    const bool right = one.expected.empty() ? status.ok() : text.find(one.expected) != text.npos;
    std::printf("%s\n%s\n", right ? "as expected" : "not as expected", text.c_str());
    std::fflush(stdout);
  }
  finish_mpi(status.ok() ? 0 : 1);
  return status.ok() ? 0 : 1;
}
