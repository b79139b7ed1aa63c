// SPDX-License-Identifier: Apache-2.0
// Vocabulary-parallel cross-entropy, routing with its moves, AdamW and clipping.
#include <algorithm>
#include <numeric>

#include "profiler/kernels/cross_entropy.hpp"
#include "profiler/kernels/optimizer.hpp"
#include "profiler/kernels/routing.hpp"
#include "tests/unit/profiler/numeric.hpp"

namespace meshplan::cpu {
namespace {

using test::Doubles;
using test::random_values;

constexpr int64_t kTokens = 6;
constexpr int64_t kVocab = 10;  // padded to 12

/// Columns [begin, begin + count) of logits [kTokens, 12].
Doubles columns(const Doubles& logits, int64_t begin, int64_t count) {
  Doubles out;
  for (int64_t r = 0; r < kTokens; ++r) {
    const auto row = logits.begin() + r * 12 + begin;
    out.insert(out.end(), row, row + count);
  }
  return out;
}

/// Loss over `shards` ranks; gradient, if asked for, as [kTokens, 12].
double sharded_loss(Workers& workers, const Doubles& logits, const std::vector<int32_t>& targets,
                    int shards, double factor, Doubles* gradient) {
  const int64_t width = 12 / shards;
  Doubles maximum(kTokens, -1e300), sum(kTokens, 0.0), target(kTokens, 0.0);
  const auto shard = [&](int s) {
    return VocabularyShard{
        .tokens = kTokens, .columns = width, .begin = s * width, .vocab = kVocab};
  };
  for (int s = 0; s < shards; ++s) {
    Doubles own(kTokens);
    cross_entropy_maximum(workers, shard(s), columns(logits, s * width, width).data(), own.data());
    for (size_t r = 0; r < own.size(); ++r) maximum[r] = std::max(maximum[r], own[r]);
  }
  for (int s = 0; s < shards; ++s) {
    Doubles own_sum(kTokens), own_target(kTokens);
    cross_entropy_sum(workers, shard(s), columns(logits, s * width, width).data(), targets.data(),
                      maximum.data(), own_sum.data(), own_target.data());
    for (size_t r = 0; r < own_sum.size(); ++r) {
      sum[r] += own_sum[r];
      target[r] += own_target[r];
    }
  }
  if (gradient != nullptr) {
    gradient->assign(static_cast<size_t>(kTokens * 12), 0.0);
    for (int s = 0; s < shards; ++s) {
      Doubles own = columns(logits, s * width, width);
      cross_entropy_gradient(workers, shard(s), factor, own.data(), targets.data(), maximum.data(),
                             sum.data(), own.data());
      for (int64_t r = 0; r < kTokens; ++r) {
        std::copy_n(own.begin() + r * width, width, gradient->begin() + r * 12 + s * width);
      }
    }
  }
  return factor * cross_entropy_loss(kTokens, sum.data(), target.data());
}

TEST_CASE("cross-entropy: equal logits, shards, padding, gradient") {
  Workers workers(2);
  const std::vector<int32_t> targets = {0, 9, 3, 1, 5, 6};
  const Doubles equal(static_cast<size_t>(kTokens * 12), 2.5);
  CHECK(sharded_loss(workers, equal, targets, 1, 0.5, nullptr) == Approx(3 * std::log(10.0)));

  Doubles logits = random_values(kTokens * 12, 1, -5, 5);
  for (int64_t r = 0; r < kTokens; ++r) logits[static_cast<size_t>(r * 12 + 11)] = 1e30;  // padding
  Doubles gradient, cut;
  const double one = sharded_loss(workers, logits, targets, 1, 0.2, &gradient);
  for (const int shards : {2, 4, 12}) {
    CHECK(sharded_loss(workers, logits, targets, shards, 0.2, &cut) == Approx(one).epsilon(1e-14));
    CHECK(test::relative_error(cut, gradient) < 1e-14);
  }
  CHECK(gradient[11] == 0);
  CHECK(gradient[1] > 0);
  CHECK(gradient[0] < 0);  // the target
  Doubles existing = columns(logits, 0, 12);
  for (int64_t r = 0; r < kTokens; ++r) existing[static_cast<size_t>(r * 12 + 11)] = 0;
  test::check_gradient(existing, gradient,
                       [&] { return sharded_loss(workers, existing, targets, 2, 0.2, nullptr); });
}

TEST_CASE("routing: choice, ties, gradients of both forms") {
  Workers workers(1);
  const Doubles tie = {1, 3, 3, 0};
  Doubles gates(2), p(4);
  std::vector<int32_t> expert(2);
  route_forward(workers, {.tokens = 1, .experts = 4, .top_k = 2}, tie.data(), gates.data(),
                expert.data(), p.data());
  CHECK(expert == std::vector<int32_t>{1, 2});
  CHECK(gates[0] == Approx(0.5));

  for (const bool normalise : {true, false}) {
    const RouteShape s{.tokens = 5, .experts = 6, .top_k = 3, .normalise = normalise};
    Doubles logits = random_values(30, 2, -3, 3), g(15), probabilities(30), dlogits(30);
    const Doubles dgates = random_values(15, 3);
    std::vector<int32_t> chosen(15);
    const auto value = [&] {
      route_forward(workers, s, logits.data(), g.data(), chosen.data(), probabilities.data());
      return test::dot(g, dgates);
    };
    value();
    route_backward(workers, s, dgates.data(), g.data(), chosen.data(), probabilities.data(),
                   dlogits.data());
    test::check_gradient(logits, dlogits, value);
  }
}

TEST_CASE("routing: rows under fixed capacity and dropless") {
  const RouteShape s{.tokens = 4, .experts = 2, .top_k = 1};
  const std::vector<int32_t> expert = {0, 0, 0, 1};
  // groups of 2 with room for 1 per expert: rows [2 experts, 2 groups, 1]
  CHECK(rows_of_fixed_capacity(s, 2, 1, expert.data()) == std::vector<int32_t>{0, -1, 1, 3});
  // one group with room for 2: rows [2 experts, 1 group, 2]
  CHECK(rows_of_fixed_capacity(s, 4, 2, expert.data()) == std::vector<int32_t>{0, 1, -1, 2});
  // first choices go before second ones of earlier tokens
  const RouteShape two{.tokens = 2, .experts = 2, .top_k = 2};
  const std::vector<int32_t> both = {0, 1, 1, 0};
  CHECK(rows_of_fixed_capacity(two, 2, 1, both.data()) == std::vector<int32_t>{0, -1, 1, -1});
  std::vector<int64_t> counts;
  CHECK(rows_of_dropless(two, both.data(), &counts) == std::vector<int32_t>{0, 2, 3, 1});
  CHECK(counts == std::vector<int64_t>{2, 2});
}

TEST_CASE("dispatch and combine: values by hand, gradients") {
  Workers workers(2);
  // 3 tokens, 2 choices, 5 rows of which row 4 stays empty, one pair dropped
  const std::vector<int32_t> row = {2, 0, 1, -1, 3, -1};
  Doubles x = {1, 2, 3, 4, 5, 6}, permuted(10, -1.0);
  dispatch_forward(workers, 3, 2, 5, 2, row.data(), x.data(), permuted.data());
  CHECK(permuted == Doubles{1, 2, 3, 4, 1, 2, 5, 6, 0, 0});
  Doubles dx(6), dpermuted = random_values(10, 4);
  dispatch_backward(workers, 3, 2, 2, row.data(), dpermuted.data(), dx.data());
  CHECK(dx[0] == dpermuted[4] + dpermuted[0]);
  CHECK(dx[5] == dpermuted[7]);

  Doubles gates = random_values(6, 5), y(6), dgates(6);
  const Doubles dy = random_values(6, 6);
  permuted = random_values(10, 7);
  const auto value = [&] {
    combine_forward(workers, 3, 2, 2, row.data(), gates.data(), permuted.data(), y.data());
    return test::dot(y, dy);
  };
  combine_backward(workers, 3, 2, 5, 2, row.data(), gates.data(), permuted.data(), dy.data(),
                   dpermuted.data(), dgates.data());
  test::check_gradient(permuted, dpermuted, value);
  test::check_gradient(gates, dgates, value);
  CHECK(dgates[3] == 0);
}

TEST_CASE("AdamW: first step by hand, later steps against the formula in double") {
  Workers workers(2);
  const AdamW adamw{.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.5};
  std::vector<float> w = {1.0F, -2.0F}, m(2), v(2);
  const std::vector<float> g = {4.0F, -0.25F};
  adamw_step(workers, adamw, 1, 0.5, 2, g.data(), w.data(), m.data(), v.data());
  // both moments are bias-corrected to g and g^2: a step of the rate, in the gradient's direction
  CHECK(w[0] == Approx(0.95 - 0.1));
  CHECK(w[1] == Approx(-1.9 + 0.1));
  CHECK(m[0] == Approx(0.2));
  CHECK(v[0] == Approx(0.04));

  constexpr size_t kCount = 9000;
  const Doubles start = random_values(kCount, 8);
  std::vector<float> weight = test::floats(start), first(kCount), second(kCount);
  Doubles exact(weight.begin(), weight.end()), m1(kCount), m2(kCount);
  for (int step = 1; step <= 5; ++step) {
    const auto gradient = test::floats(random_values(kCount, static_cast<uint64_t>(10 + step)));
    adamw_step(workers, adamw, step, 1, kCount, gradient.data(), weight.data(), first.data(),
               second.data());
    for (size_t i = 0; i < kCount; ++i) {
      const double gi = static_cast<double>(gradient[i]);
      exact[i] *= 1 - 0.1 * 0.5;
      m1[i] = 0.9 * m1[i] + 0.1 * gi;
      m2[i] = 0.99 * m2[i] + 0.01 * gi * gi;
      exact[i] -= 0.1 * (m1[i] / (1 - std::pow(0.9, step))) /
                  (std::sqrt(m2[i] / (1 - std::pow(0.99, step))) + 1e-8);
    }
  }
  CHECK(test::relative_error(weight, exact) < 2e-7 * 5);
  CHECK(clip_factor(4, 1) == Approx(0.25));
  CHECK(clip_factor(0.5, 1) == 1);
  CHECK(clip_factor(4, 0) == 1);
}

}  // namespace
}  // namespace meshplan::cpu
