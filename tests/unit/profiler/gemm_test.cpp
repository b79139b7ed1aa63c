// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/gemm.hpp"

#include "tests/unit/profiler/numeric.hpp"

namespace meshplan::cpu {
namespace {

using test::Doubles;
using test::random_values;

/// The definition, element by element.
Doubles naive(const GemmShape& g, const Doubles& a, const Doubles& b, Doubles c) {
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < g.k; ++l) {
        sum += a[static_cast<size_t>(g.trans_a ? l * g.m + i : i * g.k + l)] *
               b[static_cast<size_t>(g.trans_b ? j * g.k + l : l * g.n + j)];
      }
      double& out = c[static_cast<size_t>(i * g.n + j)];
      out = g.alpha * sum + g.beta * out;
    }
  }
  return c;
}

TEST_CASE("gemm: all layouts, alpha and beta, one to three workers") {
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      for (const auto& [m, n, k] : {std::tuple{5, 7, 3}, {130, 200, 33}, {257, 65, 64}}) {
        const GemmShape g{.m = m,
                          .n = n,
                          .k = k,
                          .trans_a = trans_a,
                          .trans_b = trans_b,
                          .alpha = 0.5,
                          .beta = 2};
        const Doubles a = random_values(m * k, 1);
        const Doubles b = random_values(k * n, 2);
        const Doubles c = random_values(m * n, 3);
        const Doubles expected = naive(g, a, b, c);
        for (const int size : {1, 2, 3}) {
          Workers workers(size);
          Doubles out = c;
          gemm(workers, g, a.data(), b.data(), out.data());
          CHECK(test::relative_error(out, expected) < 1e-14);
          const auto af = test::floats(a);
          const auto bf = test::floats(b);
          auto cf = test::floats(c);
          gemm(workers, g, af.data(), bf.data(), cf.data());
          CHECK(test::relative_error(cf, expected) < 1e-6);
        }
      }
    }
  }
}

TEST_CASE("gemm: strides leave the gaps alone, an empty inner dimension scales") {
  Workers workers(2);
  const Doubles a = {1, 2, -9, 3, 4, -9};  // 2 x 2 in rows of 3
  const Doubles b = {5, 6, 7, 8};
  Doubles c(8, 100);
  gemm(workers, {.m = 2, .n = 2, .k = 2, .lda = 3, .ldc = 4}, a.data(), b.data(), c.data());
  CHECK(c == Doubles{19, 22, 100, 100, 43, 50, 100, 100});
  Doubles d = {1, 2, NAN, 4};
  gemm(workers, {.m = 2, .n = 2, .k = 0}, a.data(), b.data(), d.data());
  CHECK(d == Doubles{0, 0, 0, 0});
}

TEST_CASE("gemm_batched and gemm_grouped equal single products") {
  Workers workers(2);
  const GemmShape g{.m = 6, .n = 5, .k = 4, .trans_b = true};
  const Doubles a = random_values(3 * 6 * 4, 4);
  const Doubles b = random_values(3 * 5 * 4, 5);
  Doubles batched(3 * 6 * 5);
  gemm_batched(workers, g, 3, a.data(), 24, b.data(), 20, batched.data(), 30);
  for (int64_t i = 0; i < 3; ++i) {
    const Doubles ai(a.begin() + i * 24, a.begin() + (i + 1) * 24);
    const Doubles bi(b.begin() + i * 20, b.begin() + (i + 1) * 20);
    const Doubles ci(batched.begin() + i * 30, batched.begin() + (i + 1) * 30);
    CHECK(test::relative_error(ci, naive(g, ai, bi, Doubles(30))) < 1e-14);
  }

  const std::vector<int64_t> rows = {7, 0, 11};  // 18 rows in all
  Doubles grouped(18 * 5);
  gemm_grouped(workers, g, Ragged::m, rows, a.data(), b.data(), grouped.data());
  const GemmShape last{.m = 11, .n = 5, .k = 4, .trans_b = true};
  const Doubles tail(grouped.begin() + 35, grouped.end());
  CHECK(test::relative_error(tail, naive(last, Doubles(a.begin() + 28, a.end()),
                                         Doubles(b.begin() + 40, b.end()), Doubles(55))) < 1e-14);

  // weight gradient: dW[g] (5 x 4) += dY[g]^T X[g]
  const GemmShape wgrad{.m = 5, .n = 4, .trans_a = true, .beta = 1};
  Doubles dw(3 * 20, 1.0);
  gemm_grouped(workers, wgrad, Ragged::k, rows, grouped.data(), a.data(), dw.data());
  const GemmShape first{.m = 5, .n = 4, .k = 7, .trans_a = true, .beta = 1};
  const Doubles expected = naive(first, grouped, a, Doubles(20, 1.0));
  CHECK(test::relative_error(Doubles(dw.begin(), dw.begin() + 20), expected) < 1e-14);
  CHECK(Doubles(dw.begin() + 20, dw.begin() + 40) == Doubles(20, 1.0));
}

}  // namespace
}  // namespace meshplan::cpu
