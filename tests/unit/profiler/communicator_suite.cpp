// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/profiler/communicator_suite.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <numeric>

namespace meshplan::test {
namespace {

#define EXPECT(condition)                                                                \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      return Diagnostic{                                                                 \
          .message = fmt::format("rank {}: {} does not hold", world.rank(), #condition), \
          .where = fmt::format("communicator_suite.cpp:{}", __LINE__)};                  \
    }                                                                                    \
  } while (false)

constexpr int kRanks = 4;
using Floats = std::vector<float>;
using Comm = std::unique_ptr<Communicator>;

/// Element i of rank r's buffer in the reductions: sums of these depend on the order.
float value(int rank, size_t i) {
  return (rank % 2 == 0 ? 1e8F : -1e8F) + static_cast<float>(rank) * 3.7F +
         static_cast<float>(i) * 0.1F;
}
Floats filled(int rank, size_t count) {
  Floats x(count);
  for (size_t i = 0; i < count; ++i) x[i] = value(rank, i);
  return x;
}
float sum_in_order(size_t i) {
  float sum = value(0, i);
  for (int r = 1; r < kRanks; ++r) sum += value(r, i);
  return sum;
}

Status reductions(World& world, Communicator& comm) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{3}, size_t{4}, size_t{10001}}) {
    Floats x = filled(world.rank(), count);
    MESHPLAN_CHECK(comm.all_reduce(x.data(), static_cast<int64_t>(count)));
    for (size_t i = 0; i < count; ++i) EXPECT(x[i] == sum_in_order(i));

    Floats whole = filled(world.rank(), count * kRanks);
    Floats part(count);
    MESHPLAN_CHECK(comm.reduce_scatter(whole.data(), part.data(), static_cast<int64_t>(count)));
    const size_t first = count * static_cast<size_t>(world.rank());
    for (size_t i = 0; i < count; ++i) EXPECT(part[i] == sum_in_order(first + i));
    // in place
    MESHPLAN_CHECK(
        comm.reduce_scatter(whole.data(), whole.data() + first, static_cast<int64_t>(count)));
    for (size_t i = 0; i < count; ++i) EXPECT(whole[first + i] == sum_in_order(first + i));
  }
  std::array<double, 2> largest = {-1.5 - world.rank(), static_cast<double>(world.rank() % 3)};
  MESHPLAN_CHECK(comm.all_reduce(largest.data(), 2, ReduceOp::max));
  EXPECT(largest[0] == -1.5);
  EXPECT(largest[1] == 2);
  // bf16 has 8 bits: 256 + 1 is 256 (tie to even) and would stay so if every sum were rounded;
  // summed in fp32 and rounded once, 256 + 1 + 1 + 1 = 259 becomes 260 (a tie between 258 and 260)
  constexpr uint16_t kOne = 0x3f80, k256 = 0x4380, k260 = 0x4382;
  std::array<uint16_t, 2> half = {world.rank() == 0 ? k256 : kOne, kOne};
  MESHPLAN_CHECK(comm.all_reduce(half.data(), 2, Element::bf16));
  EXPECT(half[0] == k260);
  EXPECT(half[1] == 0x4080);  // 4
  return Done{};
}

Status gathers(World& world, Communicator& comm) {
  const auto me = static_cast<size_t>(world.rank());
  for (const size_t count : {size_t{0}, size_t{1}, size_t{5000}}) {
    const Floats own(count, static_cast<float>(me));
    Floats all(count * kRanks, -1);
    MESHPLAN_CHECK(comm.all_gather(own.data(), all.data(), static_cast<int64_t>(count * 4)));
    for (size_t i = 0; i < all.size(); ++i) EXPECT(all[i] == static_cast<float>(i / count));
    Floats in_place(count * kRanks, static_cast<float>(me));
    MESHPLAN_CHECK(comm.all_gather(in_place.data() + me * count, in_place.data(),
                                   static_cast<int64_t>(count * 4)));
    EXPECT(in_place == all);
  }
  std::array<int, 3> data = {world.rank(), 7, world.rank() * 2};
  MESHPLAN_CHECK(comm.broadcast(data.data(), sizeof(data), 2));
  EXPECT((data == std::array<int, 3>{2, 7, 4}));
  return comm.barrier();
}

Status exchanges(World& world, Communicator& comm) {
  const int me = world.rank();
  std::array<int, kRanks> out{}, in{};
  for (int r = 0; r < kRanks; ++r) out[static_cast<size_t>(r)] = 10 * me + r;
  MESHPLAN_CHECK(comm.all_to_all(out.data(), in.data(), sizeof(int)));
  for (int r = 0; r < kRanks; ++r) EXPECT(in[static_cast<size_t>(r)] == 10 * r + me);

  // rank s sends s + r ints to rank r, all of value 100 s + r
  std::vector<int64_t> send_bytes, receive_bytes;
  std::vector<int> send, expected;
  for (int r = 0; r < kRanks; ++r) {
    send_bytes.push_back((me + r) * 4);
    receive_bytes.push_back((me + r) * 4);
    send.insert(send.end(), static_cast<size_t>(me + r), 100 * me + r);
    expected.insert(expected.end(), static_cast<size_t>(me + r), 100 * r + me);
  }
  std::vector<int> receive(expected.size());
  MESHPLAN_CHECK(comm.all_to_all(send.data(), send_bytes, receive.data(), receive_bytes));
  EXPECT(receive == expected);

  const Floats mine(777, static_cast<float>(me));
  Floats before(777);
  MESHPLAN_CHECK(comm.ring_exchange(mine.data(), before.data(), 777 * 4));
  EXPECT(before == Floats(777, static_cast<float>((me + kRanks - 1) % kRanks)));
  return Done{};
}

/// Messages that arrive in another order than they are asked for, sends before any receiver.
Status messages(World& world, Communicator& comm) {
  const int me = world.rank();
  const int next = (me + 1) % kRanks;
  const int previous = (me + kRanks - 1) % kRanks;
  const size_t large = 300000;  // beyond any eager limit of a message layer
  Floats first(large, static_cast<float>(me)), second(large, static_cast<float>(me + 50)),
      last = {0.5F};
  const int64_t bytes = static_cast<int64_t>(large) * 4;
  MESHPLAN_CHECK(comm.send(first.data(), bytes, next, message_tag(false, 0, 0)));
  MESHPLAN_CHECK(comm.send(second.data(), bytes, next, message_tag(false, 1, 0)));
  MESHPLAN_CHECK(comm.send(last.data(), 4, next, message_tag(false, 1, 0)));
  first.assign(large, -1);  // copied: ours again
  Pending late = comm.start_receive(first.data(), bytes, previous, message_tag(false, 0, 0));
  Floats in(large), tail(1);
  MESHPLAN_CHECK(comm.receive(in.data(), bytes, previous, message_tag(false, 1, 0)));
  MESHPLAN_CHECK(comm.receive(tail.data(), 4, previous, message_tag(false, 1, 0)));
  EXPECT(in == Floats(large, static_cast<float>(previous + 50)));
  EXPECT(tail[0] == 0.5F);
  MESHPLAN_CHECK(late.wait());
  EXPECT(first == Floats(large, static_cast<float>(previous)));
  MESHPLAN_CHECK(comm.send(nullptr, 0, me, 3));  // to oneself, empty
  return comm.receive(nullptr, 0, me, 3);
}

/// Two collectives under way on two groups, waited for in different orders by even and odd ranks.
Status overlap(World& world, Communicator& comm, Communicator& other) {
  const Floats own(1000, static_cast<float>(world.rank()));
  Floats all(4000), whole = filled(world.rank(), 4000), part(1000), again(4000);
  Pending gather = comm.start_all_gather(own.data(), all.data(), 4000);
  Pending scatter = other.start_reduce_scatter(whole.data(), part.data(), 1000);
  Pending second = comm.start_all_gather(own.data(), again.data(), 4000);
  if (world.rank() % 2 == 0) {
    MESHPLAN_CHECK(scatter.wait());
    MESHPLAN_CHECK(gather.wait());
    MESHPLAN_CHECK(second.wait());
  } else {
    MESHPLAN_CHECK(second.wait());
    MESHPLAN_CHECK(gather.wait());
    MESHPLAN_CHECK(scatter.wait());
  }
  EXPECT(all == again);
  EXPECT(all[3999] == 3);
  EXPECT(part[0] == sum_in_order(static_cast<size_t>(world.rank()) * 1000));
  return Done{};
}

/// A sum, and behind it a gather of it in another group, both under way at once.
Status chain(World& world, Communicator& comm, Communicator& other) {
  Floats x(1000, static_cast<float>(world.rank() + 1)), all(4000);
  Pending sum = comm.start_all_reduce(x.data(), 1000);
  MESHPLAN_CHECK(sum.settle());
  Pending gather = other.start_all_gather(x.data(), all.data(), 4000);
  MESHPLAN_CHECK(gather.wait());
  MESHPLAN_CHECK(sum.wait());
  EXPECT(x[999] == 10);
  EXPECT(all == Floats(4000, 10));
  return Done{};
}

/// A 2 x 2 grid: sub-groups in an order of their own.
Status sub_groups(World& world) {
  const int me = world.rank();
  const int row = me / 2;
  MESHPLAN_TRY(const Comm pair, world.group({2 * row + 1, 2 * row}, "pair"));
  EXPECT(pair->size() == 2);
  EXPECT(pair->rank() == 1 - me % 2);
  std::array<int, 2> all{};
  MESHPLAN_CHECK(pair->all_gather(&me, all.data(), sizeof(int)));
  EXPECT((all == std::array<int, 2>{2 * row + 1, 2 * row}));
  MESHPLAN_TRY(const Comm alone, world.group({me}, "alone"));
  float x = 4;
  MESHPLAN_CHECK(alone->all_reduce(&x, 1));
  EXPECT(x == 4);
  EXPECT(!world.group({me, me}, "twice").ok());
  EXPECT(!world.group({kRanks, me}, "outside").ok());
  EXPECT(!world.group({(me + 1) % kRanks}, "stranger").ok());
  return Done{};
}

/// By hand, n = 4: see the size convention in ledger.hpp.
Status ledger(World& world) {
  MESHPLAN_TRY(const Comm comm, world.group({0, 1, 2, 3}, "counted"));
  Floats x(8), y(32), z(32);
  MESHPLAN_CHECK(comm->all_reduce(x.data(), 8));
  MESHPLAN_CHECK(comm->all_reduce(x.data(), 4));
  MESHPLAN_CHECK(comm->all_gather(x.data(), y.data(), 32));
  MESHPLAN_CHECK(comm->reduce_scatter(y.data(), x.data(), 8));
  MESHPLAN_CHECK(comm->all_to_all(y.data(), z.data(), 32));
  MESHPLAN_CHECK(comm->ring_exchange(y.data(), z.data(), 128));
  MESHPLAN_CHECK(comm->broadcast(y.data(), 128, 1));
  MESHPLAN_CHECK(comm->send(y.data(), 12, (world.rank() + 1) % kRanks, 1));
  MESHPLAN_CHECK(comm->receive(z.data(), 12, (world.rank() + 3) % kRanks, 1));
  MESHPLAN_CHECK(comm->barrier());
  const auto entry = [&](Transfer transfer) { return world.ledger()[{"counted", transfer}]; };
  EXPECT((entry(Transfer::all_reduce) == LedgerEntry{2, 48, 72}));   // 2 (n-1)/n of 48
  EXPECT((entry(Transfer::all_gather) == LedgerEntry{1, 128, 96}));  // 3 x 32
  EXPECT((entry(Transfer::reduce_scatter) == LedgerEntry{1, 128, 96}));
  EXPECT((entry(Transfer::all_to_all) == LedgerEntry{1, 128, 96}));
  EXPECT((entry(Transfer::ring_exchange) == LedgerEntry{1, 128, 128}));
  EXPECT((entry(Transfer::broadcast) == LedgerEntry{1, 128, world.rank() == 1 ? 0 : 128}));
  EXPECT((entry(Transfer::send) == LedgerEntry{1, 12, 0}));
  EXPECT((entry(Transfer::receive) == LedgerEntry{1, 12, 12}));
  EXPECT((entry(Transfer::barrier) == LedgerEntry{1, 0, 0}));
  return Done{};
}

}  // namespace

Status communicator_suite(World& world) {
  EXPECT(world.size() == kRanks);
  MESHPLAN_TRY(const Comm comm, world.group({0, 1, 2, 3}, "world"));
  MESHPLAN_TRY(const Comm other, world.group({0, 1, 2, 3}, "other"));
  EXPECT(comm->rank() == world.rank());
  MESHPLAN_CHECK(reductions(world, *comm));
  MESHPLAN_CHECK(gathers(world, *comm));
  MESHPLAN_CHECK(exchanges(world, *comm));
  MESHPLAN_CHECK(messages(world, *comm));
  for (int round = 0; round < 20; ++round) {
    MESHPLAN_CHECK(overlap(world, *comm, *other));
    MESHPLAN_CHECK(chain(world, *comm, *other));
  }
  MESHPLAN_CHECK(sub_groups(world));
  MESHPLAN_CHECK(ledger(world));
  return comm->barrier();
}

}  // namespace meshplan::test
