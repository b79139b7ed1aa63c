// SPDX-License-Identifier: Apache-2.0
// Flash attention and materialised softmax against a reference that follows the definition, and
// context parallelism (all-gather and ring) against one rank.
#include <limits>
#include <numeric>

#include "profiler/kernels/attention.hpp"
#include "profiler/kernels/softmax.hpp"
#include "tests/unit/profiler/numeric.hpp"

namespace meshplan::cpu {
namespace {

using test::Doubles;
using test::random_values;
using Positions = std::vector<int32_t>;

Positions first_positions(int64_t count) {
  Positions positions(static_cast<size_t>(count));
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

struct Inputs {
  Doubles q, k, v, d_o;
  explicit Inputs(const AttentionShape& s)
      : q(random_values(s.batch * s.q_len * s.heads * s.head_dim, 1, -2, 2)),
        k(random_values(s.batch * s.kv_len * s.kv_heads * s.head_dim, 2, -2, 2)),
        v(random_values(s.batch * s.kv_len * s.kv_heads * s.head_dim_v, 3)),
        d_o(random_values(s.batch * s.q_len * s.heads * s.head_dim_v, 4)) {}
};

/// Literally softmax(q k^T / sqrt(d)) v, element by element.
Doubles reference(const AttentionShape& s, const Positions& qp, const Positions& kp,
                  const Inputs& x) {
  Doubles o(x.d_o.size(), 0.0);
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t g = h / (s.heads / s.kv_heads);
      for (int64_t i = 0; i < s.q_len; ++i) {
        Doubles weight(at(s.kv_len), 0.0);
        double sum = 0;
        for (int64_t j = 0; j < s.kv_len; ++j) {
          const int32_t distance = qp[at(i)] - kp[at(j)];
          if (distance < 0 || (s.window > 0 && distance >= s.window)) continue;
          double score = 0;
          for (int64_t c = 0; c < s.head_dim; ++c) {
            score += x.q[at(((b * s.q_len + i) * s.heads + h) * s.head_dim + c)] *
                     x.k[at(((b * s.kv_len + j) * s.kv_heads + g) * s.head_dim + c)];
          }
          weight[at(j)] = std::exp(score / std::sqrt(static_cast<double>(s.head_dim)));
          sum += weight[at(j)];
        }
        for (int64_t j = 0; j < s.kv_len && sum > 0; ++j) {
          for (int64_t c = 0; c < s.head_dim_v; ++c) {
            o[at(((b * s.q_len + i) * s.heads + h) * s.head_dim_v + c)] +=
                weight[at(j)] / sum *
                x.v[at(((b * s.kv_len + j) * s.kv_heads + g) * s.head_dim_v + c)];
          }
        }
      }
    }
  }
  return o;
}

struct Output {
  Doubles o, lse, dq, dk, dv;
};

Output run(Workers& workers, const AttentionShape& s, const Positions& qp, const Positions& kp,
           const Inputs& x) {
  Output y{Doubles(x.d_o.size()), Doubles(static_cast<size_t>(s.batch * s.q_len * s.heads)),
           Doubles(x.q.size()), Doubles(x.k.size()), Doubles(x.v.size())};
  attention_forward(workers, s, qp.data(), kp.data(), x.q.data(), x.k.data(), x.v.data(),
                    y.o.data(), y.lse.data());
  attention_backward(workers, s, qp.data(), kp.data(), x.q.data(), x.k.data(), x.v.data(),
                     y.o.data(), y.lse.data(), x.d_o.data(), Write::set, y.dq.data(), Write::set,
                     y.dk.data(), y.dv.data());
  return y;
}

TEST_CASE("attention: two positions by hand") {
  Workers workers(1);
  const AttentionShape s{.q_len = 2, .kv_len = 2, .head_dim = 1, .head_dim_v = 1};
  const Doubles q = {1, 2}, k = {0, std::log(3.0) / 2}, v = {4, 8};
  Doubles o(2), lse(2);
  const Positions p = first_positions(2);
  attention_forward(workers, s, p.data(), p.data(), q.data(), k.data(), v.data(), o.data(),
                    lse.data());
  CHECK(o[0] == Approx(4));  // sees itself alone
  CHECK(lse[0] == Approx(0).margin(1e-15));
  CHECK(o[1] == Approx(7));  // weights 1 : 3
  CHECK(lse[1] == Approx(std::log(4.0)));
}

TEST_CASE("attention: reference, gradients, float; GQA, window, sizes off the tiles") {
  Workers workers(2);
  for (const AttentionShape& s :
       {AttentionShape{.q_len = 150, .kv_len = 150, .head_dim = 8, .head_dim_v = 8},
        AttentionShape{.batch = 2,
        .q_len = 70,
        .kv_len = 70,
        .heads = 4,
        .kv_heads = 2,
        .head_dim = 6,
        .head_dim_v = 3},
        AttentionShape{
            .q_len = 300, .kv_len = 300, .head_dim = 4, .head_dim_v = 4, .window = 20}}) {
    const Positions p = first_positions(s.q_len);
    const Inputs x(s);
    const Output y = run(workers, s, p, p, x);
    CHECK(test::relative_error(y.o, reference(s, p, p, x)) < 1e-13);

    Workers alone(1);  // no result depends on the number of workers
    CHECK(run(alone, s, p, p, x).dk == y.dk);

    const auto qf = test::floats(x.q), kf = test::floats(x.k), vf = test::floats(x.v),
               df = test::floats(x.d_o);
    std::vector<float> of(y.o.size()), lf(y.lse.size()), dq(qf.size()), dk(kf.size(), 1.0F),
        dv(vf.size(), 1.0F);
    attention_forward(workers, s, p.data(), p.data(), qf.data(), kf.data(), vf.data(), of.data(),
                      lf.data());
    attention_backward(workers, s, p.data(), p.data(), qf.data(), kf.data(), vf.data(), of.data(),
                       lf.data(), df.data(), Write::set, dq.data(), Write::add, dk.data(),
                       dv.data());
    for (float& value : dk) value -= 1.0F;
    CHECK(test::relative_error(of, y.o) < 1e-6);
    CHECK(test::relative_error(lf, y.lse) < 1e-6);
    CHECK(test::relative_error(dq, y.dq) < 2e-6);
    CHECK(test::relative_error(dk, y.dk) < 2e-6);
  }
}

TEST_CASE("attention: gradients against central differences") {
  Workers workers(1);
  const AttentionShape s{.batch = 2,
                         .q_len = 5,
                         .kv_len = 5,
                         .heads = 4,
                         .kv_heads = 2,
                         .head_dim = 4,
                         .head_dim_v = 3};
  const Positions p = first_positions(5);
  Inputs x(s);
  const Output y = run(workers, s, p, p, x);
  const auto value = [&] { return test::dot(reference(s, p, p, x), x.d_o); };
  test::check_gradient(x.q, y.dq, value);
  test::check_gradient(x.k, y.dk, value);
  test::check_gradient(x.v, y.dv, value);
}

/// Rows of `x` [batch, length, width] at the given positions, sequence after sequence.
Doubles rows_at(const Doubles& x, int64_t batch, int64_t length, int64_t width,
                const Positions& positions) {
  Doubles out;
  for (int64_t b = 0; b < batch; ++b) {
    for (const int32_t p : positions) {
      const auto begin = x.begin() + (b * length + p) * width;
      out.insert(out.end(), begin, begin + width);
    }
  }
  return out;
}

/// Positions of rank r: chunks r and 2 cp - 1 - r of 2 cp (Llama 3, section 3.3.2).
Positions balanced(int64_t length, int cp, int r) {
  const int64_t chunk = length / (2 * cp);
  Positions positions;
  for (const int64_t c : {int64_t{r}, int64_t{2 * cp - 1 - r}}) {
    for (int64_t i = 0; i < chunk; ++i) positions.push_back(static_cast<int32_t>(c * chunk + i));
  }
  return positions;
}

TEST_CASE("attention: context parallel, gathered keys and ring, equals one rank") {
  Workers workers(1);
  constexpr int kCp = 4;
  const AttentionShape s{.batch = 2,
                         .q_len = 160,
                         .kv_len = 160,
                         .heads = 4,
                         .kv_heads = 2,
                         .head_dim = 4,
                         .head_dim_v = 4};
  const Positions all = first_positions(160);
  const Inputs x(s);
  const Output whole = run(workers, s, all, all, x);
  AttentionShape part = s;
  part.q_len = part.kv_len = 160 / kCp;
  Positions gathered_positions;
  Doubles gathered_k, gathered_v;
  std::vector<Doubles> k, v;
  for (int r = 0; r < kCp; ++r) {
    const Positions p = balanced(160, kCp, r);
    k.push_back(rows_at(x.k, 2, 160, 8, p));
    v.push_back(rows_at(x.v, 2, 160, 8, p));
    gathered_positions.insert(gathered_positions.end(), p.begin(), p.end());
    gathered_k.insert(gathered_k.end(), k.back().begin(), k.back().end());
    gathered_v.insert(gathered_v.end(), v.back().begin(), v.back().end());
  }
  Doubles dk_sum(gathered_k.size(), 0.0);
  Doubles expected_dk;
  for (int r = 0; r < kCp; ++r) {
    const Positions own = balanced(160, kCp, r);
    Inputs mine(part);
    mine.q = rows_at(x.q, 2, 160, 16, own);
    mine.d_o = rows_at(x.d_o, 2, 160, 16, own);
    const Doubles o = rows_at(whole.o, 2, 160, 16, own), dq = rows_at(whole.dq, 2, 160, 16, own);
    const Doubles dk = rows_at(whole.dk, 2, 160, 8, own);
    expected_dk.insert(expected_dk.end(), dk.begin(), dk.end());

    AttentionShape gathered = part;
    gathered.kv_len = 160;
    gathered.kv_parts = kCp;
    mine.k = gathered_k;
    mine.v = gathered_v;
    const Output y = run(workers, gathered, own, gathered_positions, mine);
    CHECK(test::relative_error(y.o, o) < 1e-13);
    CHECK(test::relative_error(y.dq, dq) < 1e-13);
    for (size_t i = 0; i < dk_sum.size(); ++i) dk_sum[i] += y.dk[i];

    Output ring{Doubles(o.size(), 0.0),
                Doubles(y.lse.size(), -std::numeric_limits<double>::infinity()),
                Doubles(dq.size(), 0.0), Doubles(k[0].size()), Doubles(v[0].size())};
    Doubles block(o.size()), block_lse(y.lse.size());
    for (int step = 0; step < kCp; ++step) {
      const int from = (r - step + kCp) % kCp;
      const auto source = static_cast<size_t>(from);
      const Positions theirs = balanced(160, kCp, from);
      attention_forward(workers, part, own.data(), theirs.data(), mine.q.data(), k[source].data(),
                        v[source].data(), block.data(), block_lse.data());
      attention_merge(workers, 80, 4, 4, block.data(), block_lse.data(), ring.o.data(),
                      ring.lse.data());
    }
    CHECK(test::relative_error(ring.o, o) < 1e-13);
    CHECK(test::relative_error(ring.lse, y.lse) < 1e-13);
    for (int from = 0; from < kCp; ++from) {
      const auto source = static_cast<size_t>(from);
      const Positions theirs = balanced(160, kCp, from);
      attention_backward(workers, part, own.data(), theirs.data(), mine.q.data(), k[source].data(),
                         v[source].data(), ring.o.data(), ring.lse.data(), mine.d_o.data(),
                         Write::add, ring.dq.data(), Write::set, ring.dk.data(), ring.dv.data());
      const Doubles slice(y.dk.begin() + from * 640, y.dk.begin() + (from + 1) * 640);
      CHECK(test::relative_error(ring.dk, slice) < 1e-12);
    }
    CHECK(test::relative_error(ring.dq, dq) < 1e-12);
  }
  CHECK(test::relative_error(dk_sum, expected_dk) < 1e-13);
}

TEST_CASE("softmax over scores in memory: value, gradient, rows without keys") {
  Workers workers(2);
  const SoftmaxShape s{.blocks = 2, .q_len = 3, .kv_len = 4, .scale = 0.5};
  const Positions qp = {1, 3, 0}, kp = {2, 0, 1, 3};
  Doubles scores = random_values(24, 5, -3, 3);
  const Doubles dp = random_values(24, 6);
  Doubles p(24), ds(24);
  const auto value = [&] {
    softmax_forward(workers, s, qp.data(), kp.data(), scores.data(), p.data());
    return test::dot(p, dp);
  };
  value();
  CHECK(p[0] == 0);  // query 1 does not see key 2
  CHECK(p[1] == Approx(1 / (1 + std::exp(0.5 * (scores[2] - scores[1])))));
  CHECK(p[9] == 1);  // query 0 sees key 0 alone
  softmax_backward(workers, s, dp.data(), p.data(), ds.data());
  test::check_gradient(scores, ds, value);
  const Positions none = {-1, -1, -1};
  softmax_forward(workers, s, none.data(), kp.data(), scores.data(), p.data());
  CHECK(p == Doubles(24, 0.0));
}

}  // namespace
}  // namespace meshplan::cpu
