// SPDX-License-Identifier: Apache-2.0
#include "strategies/embedding/order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "strategies/embedding/orders.hpp"
#include "topologies/base/nearest.hpp"

namespace meshplan::graph {
namespace {

Diagnostic refused(const ScheduleShape& s, const std::string& message, const std::string& hint) {
  return {.kind = ErrorKind::no_plan,
          .message = message,
          .where = "order",
          .value = fmt::format("{}, {} partitions, {} resident, {} ranks", name_of(s.order),
                               s.partitions, s.resident, s.ranks),
          .rule = "bucket-order",
          .hint = hint};
}

bool power_of_two(int value) { return value > 0 && (value & (value - 1)) == 0; }

}  // namespace

const char* name_of(Order order) {
  switch (order) {
    case Order::inside_out:
      return "inside_out";
    case Order::affinity:
      return "affinity";
    case Order::beta:
      return "beta";
    case Order::cover:
      return "cover";
    case Order::halving:
      return "halving";
  }
  return "?";
}

Result<Order> order_from(const std::string& text, const std::string& where) {
  std::vector<std::string> names;
  for (const Order order :
       {Order::inside_out, Order::affinity, Order::beta, Order::cover, Order::halving}) {
    if (text == name_of(order)) return order;
    names.emplace_back(name_of(order));
  }
  return Diagnostic{.kind = ErrorKind::usage,
                    .message = "there is no such bucket order",
                    .where = where,
                    .value = text,
                    .hint = suggest(text, names)};
}

int64_t beta_swaps(int64_t p, int64_t c) {
  if (p <= c) return 0;
  const int64_t x = (p - c) / (c - 1);
  return (p - c) + (x + 1) * (p - c) - x * (x + 1) * (c - 1) / 2;
}

Status check_shape(const ScheduleShape& s) {
  if (s.partitions < 1 || s.resident < 1 || s.ranks < 1)
    return refused(s, "partitions, resident partitions and ranks are 1 or more", "1");
  if (s.partitions == 1) {
    if (s.ranks == 1) return Done{};
    return refused(s, "one partition is trained by one rank",
                   fmt::format("{} partitions", 2 * s.ranks));
  }
  if (!s.lhs_partitioned || !s.rhs_partitioned) {
    if (s.partitions % s.ranks == 0) return Done{};
    return refused(s, "every rank takes as many partitions", fmt::format("{}", s.ranks));
  }
  if (s.resident < 2)
    return refused(s, "a bucket needs the partitions of both its ends", "2 resident partitions");
  if (s.order == Order::halving) {
    if (s.partitions == 2 * s.ranks && power_of_two(s.ranks) && s.resident == 2) return Done{};
    return refused(s, "recursive halving takes two partitions a rank, ranks a power of two",
                   fmt::format("{} partitions, 2 resident", 2 * s.ranks));
  }
  if (s.order == Order::cover) {
    const int c = s.resident;
    if (s.partitions == c * c && has_field(c) && (s.ranks == 1 || s.ranks == c)) return Done{};
    return refused(s, "an affine plane takes c*c partitions with c of 2, 3, 4, 5, 7, 8 resident",
                   fmt::format("{} partitions, {} ranks or 1", c * c, c));
  }
  if (s.ranks > 1)
    return refused(s, fmt::format("{} is an order of one rank", name_of(s.order)),
                   "halving or cover");
  return Done{};
}

Result<Schedule> make_schedule(const ScheduleShape& s) {
  MESHPLAN_CHECK(check_shape(s));
  Schedule out{s.partitions, s.ranks, {}};
  if (s.partitions == 1) {
    out.rounds = one_rank({{{0}, {{0, 0}}}});
  } else if (!s.lhs_partitioned || !s.rhs_partitioned) {
    for (int k = 0; k < s.partitions / s.ranks; ++k) {
      std::vector<Hold> round;
      for (int r = 0; r < s.ranks; ++r) {
        const int p = r * (s.partitions / s.ranks) + k;
        round.push_back({{p}, {{s.lhs_partitioned ? p : 0, s.rhs_partitioned ? p : 0}}});
      }
      out.rounds.push_back(std::move(round));
    }
  } else if (s.resident >= s.partitions && s.ranks == 1) {
    out.rounds = one_rank({hold_all(s)});
  } else {
    switch (s.order) {
      case Order::inside_out:
        out.rounds = one_rank(hold_for(inside_out(s), s.resident));
        break;
      case Order::affinity:
        out.rounds = one_rank(hold_for(affinity(s), s.resident));
        break;
      case Order::beta:
        out.rounds = one_rank(beta_holds(s));
        break;
      case Order::cover:
        out.rounds = cover_rounds(s);
        break;
      case Order::halving:
        out.rounds = halving_rounds(s);
        break;
    }
  }
  MESHPLAN_CHECK(check_schedule(out, s));
  return out;
}

Status check_schedule(const Schedule& schedule, const ScheduleShape& s) {
  const auto wrong = [&](const std::string& message) {
    return Diagnostic{.kind = ErrorKind::internal, .message = message, .where = name_of(s.order)};
  };
  std::set<BucketId> done;
  for (const std::vector<Hold>& round : schedule.rounds) {
    std::set<int> taken;
    if (static_cast<int>(round.size()) != s.ranks) return wrong("a round without all ranks");
    for (const Hold& hold : round) {
      for (const int p : hold.partitions)
        if (!taken.insert(p).second) return wrong("a partition is held by two ranks");
      if (static_cast<int>(hold.partitions.size()) > s.resident)
        return wrong("more partitions than may be resident");
      const std::set<int> own(hold.partitions.begin(), hold.partitions.end());
      for (const BucketId& bucket : hold.buckets) {
        if ((s.lhs_partitioned && !own.contains(bucket.first)) ||
            (s.rhs_partitioned && !own.contains(bucket.second)))
          return wrong("a bucket without its partitions");
        if (!done.insert(bucket).second) return wrong("a bucket is trained twice");
      }
    }
  }
  const int wanted =
      (s.lhs_partitioned ? s.partitions : 1) * (s.rhs_partitioned ? s.partitions : 1);
  if (static_cast<int>(done.size()) != wanted) return wrong("a bucket is not trained");
  return Done{};
}

int64_t loads_of(const Schedule& schedule) {
  int64_t loads = 0;
  std::vector<bool> before(static_cast<size_t>(schedule.partitions), false);
  for (const std::vector<Hold>& round : schedule.rounds) {
    std::vector<bool> now(before.size(), false);
    for (const Hold& hold : round)
      for (const int p : hold.partitions) now[static_cast<size_t>(p)] = true;
    for (size_t p = 0; p < now.size(); ++p) loads += now[p] && !before[p] ? 1 : 0;
    before = now;
  }
  return loads;
}

}  // namespace meshplan::graph
