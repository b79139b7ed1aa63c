// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "profiler/comm/tcp_transport.hpp"
#include "profiler/comm/thread_world.hpp"
#include "tests/unit/catch.hpp"
#include "tests/unit/profiler/communicator_suite.hpp"

namespace meshplan {
namespace {

using Comm = std::unique_ptr<Communicator>;

std::string text(const Status& status) { return status.ok() ? "done" : render(status.error()); }

/// Runs `last` on rank 2 of 3 while the others wait in an all-reduce of all three; the error text.
std::string fault(double timeout_s, const std::function<Status(World&, Communicator&)>& last,
                  std::atomic<int>* errors) {
  return text(run_ranks(3, {.timeout_s = timeout_s}, [&](World& world) -> Status {
    MESHPLAN_TRY(const Comm comm, world.group({0, 1, 2}, "dp"));
    if (world.rank() == 2) return last(world, *comm);
    float x = 1;
    const Status status = comm->all_reduce(&x, 1);
    if (!status.ok()) ++*errors;
    return status;
  }));
}

bool has(const std::string& whole, const std::string& part) {
  return whole.find(part) != std::string::npos;
}

TEST_CASE("threads: the interface suite") {
  CHECK(text(run_ranks(4, {}, test::communicator_suite)) == "done");
}

/// Ranks that meet at an address of this computer, as processes would.
std::vector<std::string> over_tcp(int ranks, double timeout_s, const RankFunction& function) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor free(io, {boost::asio::ip::tcp::v4(), 0});
  const uint16_t port = free.local_endpoint().port();
  free.close();
  std::vector<std::string> out(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const TcpPlace place{rank, ranks, "127.0.0.1", port};
      out[static_cast<size_t>(rank)] =
          text(run_tcp_rank(place, {.timeout_s = timeout_s}, function));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return out;
}

TEST_CASE("tcp: the interface suite") {
  const std::vector<std::string> done(4, "done");
  CHECK(over_tcp(4, 60, test::communicator_suite) == done);
}

TEST_CASE("tcp: one rank hands an id to the others, as NCCL's goes round") {
  const std::vector<std::string> done(3, "done");
  CHECK(over_tcp(3, 60, [](World& world) -> Status {
          MESHPLAN_TRY(const Comm comm, world.group({2, 0, 1}, "ids"));
          std::array<char, 128> id{};
          if (comm->rank() == 0) id.fill('n');  // rank 2 of the world
          MESHPLAN_CHECK(comm->broadcast(id.data(), 128, 0));
          return id[127] == 'n' ? Status(Done{}) : Status(Diagnostic{.message = "no id"});
        }) == done);
}

TEST_CASE("tcp: a rank that fails, differs or does not come ends the run") {
  const auto failed = over_tcp(3, 60, [](World& world) -> Status {
    MESHPLAN_TRY(const Comm comm, world.group({0, 1, 2}, "dp"));
    if (world.rank() == 2) return Diagnostic{.message = "disk is full"};
    float x = 1;
    return comm->all_reduce(&x, 1);
  });
  CHECK(has(failed[0], "disk is full"));
  CHECK(has(failed[0], "rank 2"));
  CHECK(has(failed[1], "rank 2 failed"));
  const auto thrown = over_tcp(2, 60, [](World& world) -> Status {
    MESHPLAN_TRY(const Comm comm, world.group({0, 1}, "dp"));
    if (world.rank() == 1) throw std::runtime_error("out of luck");
    return comm->barrier();
  });
  CHECK(has(thrown[0], "out of luck"));
  const auto differs = over_tcp(2, 60, [](World& world) -> Status {
    MESHPLAN_TRY(const Comm comm, world.group({0, 1}, "dp"));
    float x = 1;
    return world.rank() == 0 ? comm->all_reduce(&x, 1) : comm->barrier();
  });
  CHECK(has(differs[0], "group dp: ranks do not call the same collective"));
  const auto late = over_tcp(2, 0.1, [](World& world) -> Status {
    MESHPLAN_TRY(const Comm comm, world.group({0, 1}, "dp"));
    return world.rank() == 0 ? comm->barrier() : Status(Done{});
  });
  CHECK(has(late[0], "no sign of rank 1 within 0.1 s"));
  CHECK(has(text(run_tcp_rank({1, 2, "127.0.0.1", 1}, {.timeout_s = 0.05},
                              [](World&) -> Status { return Done{}; })),
            "no rank 0 within 0.05 s"));
}

TEST_CASE("threads: a rank that fails ends the calls of the others") {
  std::atomic<int> errors = 0;
  const std::string failed = fault(
      60, [](World&, Communicator&) -> Status { return Diagnostic{.message = "disk is full"}; },
      &errors);
  CHECK(has(failed, "disk is full"));
  CHECK(has(failed, "rank 2"));
  CHECK(errors == 2);
  errors = 0;
  const std::string thrown = fault(
      60, [](World&, Communicator&) -> Status { throw std::runtime_error("out of luck"); },
      &errors);
  CHECK(has(thrown, "out of luck"));
  CHECK(errors == 2);
  errors = 0;
  const std::string ended = fault(
      60,
      [](World& world, Communicator& comm) -> Status {
        world.stop("stopped by the user");
        return comm.barrier();
      },
      &errors);
  CHECK(has(ended, "stopped by the user"));
  CHECK(errors == 2);
}

TEST_CASE("threads: a rank that does not come is named after the time-out") {
  std::atomic<int> errors = 0;
  const std::string silent = fault(
      0.05, [](World&, Communicator&) -> Status { return Done{}; }, &errors);
  CHECK(has(silent, "no sign of rank 2"));
  CHECK(errors == 2);
  const std::string mail = text(run_ranks(2, {.timeout_s = 0.05}, [](World& world) -> Status {
    MESHPLAN_TRY(const Comm comm, world.group({0, 1}, "pp"));
    float x = 0;
    return world.rank() == 0 ? comm->receive(&x, 4, 1, 77) : comm->receive(&x, 4, 0, 78);
  }));
  CHECK(has(mail, "receive"));
  CHECK(has(mail, "no sign of rank"));
}

TEST_CASE("threads: a rank that neither communicates nor returns is left behind") {
  // outlive the call, as run_ranks demands
  static std::atomic<bool> release = false;
  static std::atomic<bool> gone = false;
  const std::string hung = text(run_ranks(2, {.timeout_s = 0.05}, [](World& world) -> Status {
    MESHPLAN_TRY(const Comm comm, world.group({0, 1}, "tp"));
    if (world.rank() == 0) return comm->barrier();
    while (!release) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    gone = true;
    return Done{};
  }));
  CHECK(has(hung, "no sign of rank 1"));
  CHECK(has(hung, "rank 1 neither communicates nor returns"));
  release = true;
  while (!gone) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_CASE("threads: calls that do not match are errors") {
  const auto run = [](const std::function<Status(World&, Communicator&)>& body) {
    return text(run_ranks(2, {}, [&](World& world) -> Status {
      MESHPLAN_TRY(const Comm comm, world.group({0, 1}, "tp"));
      return body(world, *comm);
    }));
  };
  std::vector<float> x(8), y(8);
  std::vector<std::vector<float>> buffers(2, std::vector<float>(8));
  const std::string kinds = run([&](World& world, Communicator& comm) {
    float* data = buffers[static_cast<size_t>(world.rank())].data();
    return world.rank() == 0 ? comm.all_reduce(data, 2) : comm.all_gather(data, data, 4);
  });
  CHECK(has(kinds, "rank 0: all-reduce of 8 bytes, rank 1: all-gather of 4 bytes"));
  const std::string sizes = run([&](World& world, Communicator& comm) {
    return comm.all_reduce(buffers[static_cast<size_t>(world.rank())].data(), 2 + world.rank());
  });
  CHECK(has(sizes, "8 bytes, rank 1: all-reduce of 12 bytes"));
  const std::string counts = run([&](World& world, Communicator& comm) {
    const std::vector<int64_t> sent = {4, 4}, expected = {4, 8 * world.rank()};
    float* data = buffers[static_cast<size_t>(world.rank())].data();
    return comm.all_to_all(data, sent, data + 4, expected);
  });
  CHECK(has(counts, "rank 1 sends 4 bytes, rank 0 expects 0"));
  const std::string message = run([&](World& world, Communicator& comm) -> Status {
    float* data = buffers[static_cast<size_t>(world.rank())].data();
    MESHPLAN_CHECK(comm.send(data, 8, 1 - world.rank(), 0));
    return comm.receive(data, 12, 1 - world.rank(), 0);
  });
  CHECK(has(message, "has 8 bytes"));
}

TEST_CASE("threads: an operation given up unfinished ends the world") {
  std::atomic<bool> gone = false;
  const std::string dropped = text(run_ranks(2, {}, [&](World& world) -> Status {
    MESHPLAN_TRY(const Comm comm, world.group({0, 1}, "tp"));
    std::vector<float> x(4);
    if (world.rank() == 0) {
      static_cast<void>(comm->start_all_reduce(x.data(), 4));
      gone = true;
      return Done{};
    }
    while (!gone) std::this_thread::yield();
    return comm->all_reduce(x.data(), 4);
  }));
  CHECK(has(dropped, "given up unfinished"));
}

TEST_CASE("threads: sixteen ranks, many small collectives over a grid of groups") {
  const Status status = run_ranks(16, {}, [](World& world) -> Status {
    const int row = world.rank() / 4;
    const int column = world.rank() % 4;
    MESHPLAN_TRY(const Comm tp,
                 world.group({4 * row, 4 * row + 1, 4 * row + 2, 4 * row + 3}, "tp"));
    MESHPLAN_TRY(const Comm dp, world.group({column, column + 4, column + 8, column + 12}, "dp"));
    for (int round = 0; round < 50; ++round) {
      double x = world.rank();
      MESHPLAN_CHECK(tp->all_reduce(&x, 1));
      if (x != 16 * row + 6) return Diagnostic{.message = "wrong sum over tp"};
      MESHPLAN_CHECK(dp->all_reduce(&x, 1));
      if (x != 16 * 6 + 24) return Diagnostic{.message = "wrong sum over dp"};
    }
    return Done{};
  });
  CHECK(text(status) == "done");
}

}  // namespace
}  // namespace meshplan
