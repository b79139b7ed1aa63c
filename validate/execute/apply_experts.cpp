// SPDX-License-Identifier: Apache-2.0
// Routing. The buffer `routing` holds for each (token, choice) the row in expert order, or
// -1 - expert where the expert had no room.
#include "profiler/kernels/routing.hpp"

#include <algorithm>
#include <cassert>

#include "validate/execute/apply.hpp"

namespace meshplan {

int64_t expert_rows(const Block& block) {
  for (const Op& op : block.ops(Phase::forward)) {
    if (const auto* permute = std::get_if<Permute>(&op.body)) return permute->rows;
  }
  return 0;
}

/// Rows of an expert per group of tokens.
int64_t Apply::routing_capacity(int64_t tokens, int64_t* group) const {
  const int64_t asked = env_.options().routing_group;
  *group = asked > 0 ? asked : tokens;
  return expert_rows(site_.state.block()) * *group / tokens / env_.program().model.moe->experts;
}

/// `expert` by pair, `row` -1 where the pair found no room.
void Apply::count_routing(const Route& route, int64_t rows_per_expert,
                          const std::vector<int32_t>& expert, const std::vector<int32_t>& row) {
  std::vector<int64_t> load(static_cast<size_t>(route.experts));
  for (const int32_t e : expert) ++load[static_cast<size_t>(e)];
  site_.routed->add({.pairs = static_cast<int64_t>(row.size()),
                     .dropped = std::count(row.begin(), row.end(), -1),
                     .busiest = *std::max_element(load.begin(), load.end()),
                     .rows = rows_per_expert});
}

Status Apply::operator()(const Route& route) {
  const cpu::RouteShape shape{route.tokens, route.experts, route.top_k, true};
  const auto pairs = static_cast<size_t>(route.tokens * route.top_k);
  int64_t group = 0;
  const int64_t capacity = routing_capacity(route.tokens, &group);
  const int64_t rows_per_expert = route.tokens / group * capacity;
  assert(rows_per_expert > 0);
  std::vector<int32_t> expert(pairs);
  if (route.pass == Pass::forward) {
    std::vector<float> probabilities(static_cast<size_t>(route.tokens * route.experts));
    cpu::route_forward(workers(), shape, in(0), out(0), expert.data(), probabilities.data());
    const std::vector<int32_t> row =
        cpu::rows_of_fixed_capacity(shape, group, capacity, expert.data());
    count_routing(route, rows_per_expert, expert, row);
    auto* routing = reinterpret_cast<int32_t*>(out(1));
    for (size_t p = 0; p < pairs; ++p) routing[p] = row[p] >= 0 ? row[p] : -1 - expert[p];
    return Done{};
  }
  const int32_t* routing = tokens(op_.in[1]);
  for (size_t p = 0; p < pairs; ++p) {
    expert[p] =
        routing[p] >= 0 ? static_cast<int32_t>(routing[p] / rows_per_expert) : -1 - routing[p];
  }
  cpu::route_backward<float>(workers(), shape, in(0), in(2), expert.data(), nullptr, out(0));
  return Done{};
}

Status Apply::operator()(const Permute& permute) {
  const int64_t n = permute.tokens, h = permute.hidden, rows = permute.rows;
  const int64_t k = env_.program().model.moe->top_k;
  const int32_t* routing = tokens(op_.in.back());
  if (permute.combine) {
    if (permute.pass == Pass::forward) {
      cpu::combine_forward(workers(), n, k, h, routing, in(1), in(0), out(0));
    } else {
      cpu::combine_backward(workers(), n, k, rows, h, routing, in(2), in(1), in(0), out(0), out(1));
    }
  } else if (permute.pass == Pass::forward) {
    cpu::dispatch_forward(workers(), n, k, rows, h, routing, in(0), out(0));
  } else {
    cpu::dispatch_backward(workers(), n, k, h, routing, in(0), out(0));
  }
  return Done{};
}

}  // namespace meshplan
