// SPDX-License-Identifier: Apache-2.0
// Norms, RoPE, activations, embedding, elementwise: double against central differences, float
// against double.
#include <array>

#include "profiler/kernels/activation.hpp"
#include "profiler/kernels/elementwise.hpp"
#include "profiler/kernels/embedding.hpp"
#include "profiler/kernels/norm.hpp"
#include "profiler/kernels/rope.hpp"
#include "tests/unit/profiler/numeric.hpp"

namespace meshplan::cpu {
namespace {

using test::check_gradient;
using test::Doubles;
using test::random_values;

constexpr int64_t kRows = 5;
constexpr int64_t kCols = 37;  // no multiple of a vector

TEST_CASE("RMSNorm: closed form, gradients, float") {
  Workers workers(2);
  Doubles x = {3, 4};
  Doubles weight = {1, 10};
  Doubles y(2), rstd(1);
  rmsnorm_forward(workers, 1, 2, 0.0, x.data(), weight.data(), y.data(), rstd.data());
  CHECK(y[0] == Approx(3 / std::sqrt(12.5)));
  CHECK(y[1] == Approx(40 / std::sqrt(12.5)));

  x = random_values(kRows * kCols, 1);
  weight = random_values(kCols, 2, 0.5, 1.5);
  const Doubles dy = random_values(kRows * kCols, 3);
  y.resize(x.size());
  rstd.resize(kRows);
  const auto value = [&] {
    rmsnorm_forward(workers, kRows, kCols, 1e-5, x.data(), weight.data(), y.data(), rstd.data());
    return test::dot(y, dy);
  };
  value();
  Doubles dx(x.size()), dweight(kCols, 0.0);
  rmsnorm_backward_input(workers, kRows, kCols, x.data(), weight.data(), rstd.data(), dy.data(),
                         Write::set, dx.data());
  rmsnorm_backward_weight(workers, kRows, kCols, x.data(), rstd.data(), dy.data(), dweight.data());
  check_gradient(x, dx, value);
  check_gradient(weight, dweight, value);
  Doubles added(x.size(), 1.0);
  rmsnorm_backward_input(workers, kRows, kCols, x.data(), weight.data(), rstd.data(), dy.data(),
                         Write::add, added.data());
  for (size_t i = 0; i < added.size(); ++i) CHECK(added[i] == Approx(1 + dx[i]));

  const auto xf = test::floats(x), wf = test::floats(weight), dyf = test::floats(dy);
  std::vector<float> yf(x.size()), rf(kRows), dxf(x.size()), dwf(kCols, 0.0F);
  rmsnorm_forward(workers, kRows, kCols, 1e-5, xf.data(), wf.data(), yf.data(), rf.data());
  rmsnorm_backward_input(workers, kRows, kCols, xf.data(), wf.data(), rf.data(), dyf.data(),
                         Write::set, dxf.data());
  rmsnorm_backward_weight(workers, kRows, kCols, xf.data(), rf.data(), dyf.data(), dwf.data());
  value();
  CHECK(test::relative_error(yf, y) < 3e-7);
  CHECK(test::relative_error(dxf, dx) < 5e-7);
  CHECK(test::relative_error(dwf, dweight) < 5e-7);
}

TEST_CASE("LayerNorm: closed form, gradients, float") {
  Workers workers(2);
  Doubles x = random_values(kRows * kCols, 4, 1, 3);
  Doubles weight = random_values(kCols, 5, 0.5, 1.5), bias = random_values(kCols, 6);
  const Doubles dy = random_values(kRows * kCols, 7);
  Doubles y(x.size()), mean(kRows), rstd(kRows);
  const auto value = [&] {
    layernorm_forward(workers, kRows, kCols, 1e-5, x.data(), weight.data(), bias.data(), y.data(),
                      mean.data(), rstd.data());
    return test::dot(y, dy);
  };
  value();
  double sum = 0;
  for (int64_t c = 0; c < kCols; ++c) {
    sum +=
        (y[static_cast<size_t>(c)] - bias[static_cast<size_t>(c)]) / weight[static_cast<size_t>(c)];
  }
  CHECK(std::abs(sum) < 1e-12);  // normalised rows have mean 0
  Doubles dx(x.size()), dweight(kCols, 0.0), dbias(kCols, 0.0);
  layernorm_backward_input(workers, kRows, kCols, x.data(), weight.data(), mean.data(), rstd.data(),
                           dy.data(), Write::set, dx.data());
  layernorm_backward_weight(workers, kRows, kCols, x.data(), mean.data(), rstd.data(), dy.data(),
                            dweight.data(), dbias.data());
  check_gradient(x, dx, value);
  check_gradient(weight, dweight, value);
  check_gradient(bias, dbias, value);

  const auto xf = test::floats(x), wf = test::floats(weight), bf = test::floats(bias),
             dyf = test::floats(dy);
  std::vector<float> yf(x.size()), mf(kRows), rf(kRows), dxf(x.size());
  layernorm_forward(workers, kRows, kCols, 1e-5, xf.data(), wf.data(), bf.data(), yf.data(),
                    mf.data(), rf.data());
  layernorm_backward_input(workers, kRows, kCols, xf.data(), wf.data(), mf.data(), rf.data(),
                           dyf.data(), Write::set, dxf.data());
  value();
  CHECK(test::relative_error(yf, y) < 1e-6);
  CHECK(test::relative_error(dxf, dx) < 2e-6);
}

TEST_CASE("RoPE: table, relative property, backward undoes forward") {
  constexpr int64_t dim = 8;
  constexpr int64_t half = 4;
  Doubles cosine(64 * half), sine(64 * half);
  rope_table(RopeConfig{.head_dim = dim, .theta = 10000}, 64, cosine.data(), sine.data());
  CHECK(cosine[0] == 1);
  CHECK(sine[0] == 0);
  CHECK(cosine[3 * half + 1] == Approx(std::cos(3 * 0.1)));  // 10000^(-2/8) = 0.1
  CHECK(sine[5 * half + 2] == Approx(std::sin(5 * 0.01)));

  // position 1 of element pair (0, 4): a turn by one radian
  Workers workers(2);
  const std::vector<int32_t> one = {1};
  Doubles unit(dim, 0.0), turned(dim);
  unit[0] = 1;
  rope(workers, Turn::forward, 1, 1, dim, one.data(), cosine.data(), sine.data(), unit.data(), dim,
       turned.data(), dim);
  CHECK(turned[0] == Approx(std::cos(1.0)));
  CHECK(turned[4] == Approx(std::sin(1.0)));

  // q(p1) . k(p2) depends on p1 - p2 alone
  const Doubles q = random_values(dim, 8), k = random_values(dim, 9);
  const auto score = [&](int32_t p1, int32_t p2) {
    Doubles a(dim), b(dim);
    rope(workers, Turn::forward, 1, 1, dim, &p1, cosine.data(), sine.data(), q.data(), dim,
         a.data(), dim);
    rope(workers, Turn::forward, 1, 1, dim, &p2, cosine.data(), sine.data(), k.data(), dim,
         b.data(), dim);
    return test::dot(a, b);
  };
  CHECK(score(7, 3) == Approx(score(44, 40)));

  // two heads inside rows of a fused buffer, arbitrary positions, and back in place
  const std::vector<int32_t> positions = {63, 0, 17};
  const Doubles x = random_values(3 * 20, 10);
  Doubles y(3 * 2 * dim);
  rope(workers, Turn::forward, 3, 2, dim, positions.data(), cosine.data(), sine.data(), x.data(),
       20, y.data(), 2 * dim);
  rope(workers, Turn::backward, 3, 2, dim, positions.data(), cosine.data(), sine.data(), y.data(),
       2 * dim, y.data(), 2 * dim);
  for (size_t r = 0; r < 3; ++r) {
    for (size_t i = 0; i < 2 * dim; ++i) CHECK(y[r * 2 * dim + i] == Approx(x[r * 20 + i]));
  }
}

TEST_CASE("RoPE: Llama 3.1 frequency scaling") {
  // theta 500000, head_dim 128, factor 8, low 1, high 4, 8192 positions: frequency i =
  // theta^(-i/64). Pair 0: wavelength 6.28 < 2048, kept. Pair 63: wavelength 2 pi 500000^(63/64) >
  // 8192, cut by 8. Pair 29: wavelength w = 2 pi 500000^(29/64) = 2399.9 lies between, s = (8192/w
  // - 1) / 3 = 0.80449.
  constexpr int64_t half = 64;
  Doubles cosine(2 * half), sine(2 * half);
  rope_table(RopeConfig{.head_dim = 128, .theta = 500000, .scaling = RopeScaling{}}, 2,
             cosine.data(), sine.data());
  const auto frequency = [&](size_t i) { return std::asin(sine[half + i]); };
  CHECK(sine[half] == Approx(std::sin(1.0)));
  CHECK(frequency(63) == Approx(std::pow(500000.0, -63.0 / 64) / 8));
  const double plain = std::pow(500000.0, -29.0 / 64);
  const double smooth = (8192 / (2 * 3.14159265358979 / plain) - 1) / 3;
  REQUIRE((smooth > 0 && smooth < 1));
  CHECK(frequency(29) == Approx((1 - smooth) * plain / 8 + smooth * plain));
}

TEST_CASE("activations: values, gradients, float") {
  Workers workers(2);
  using enum ActivationType;
  Doubles one = {1.0}, out = {0.0};
  activation_forward(workers, silu, 1, 1, one.data(), out.data());
  CHECK(out[0] == Approx(0.7310585786));  // 1 / (1 + 1/e)
  activation_forward(workers, gelu, 1, 1, one.data(), out.data());
  CHECK(out[0] == Approx(0.8411919906));  // 0.5 (1 + tanh(sqrt(2/pi) 1.044715))
  for (const ActivationType type : {swiglu, geglu, gelu, relu, squared_relu, silu}) {
    const int64_t width = is_gated(type) ? 2 * kCols : kCols;
    Doubles x = random_values(kRows * width, 11, -4, 4);
    const Doubles dy = random_values(kRows * kCols, 12);
    Doubles y(dy.size()), dx(x.size());
    const auto value = [&] {
      activation_forward(workers, type, kRows, kCols, x.data(), y.data());
      return test::dot(y, dy);
    };
    activation_backward(workers, type, kRows, kCols, x.data(), dy.data(), dx.data());
    check_gradient(x, dx, value);
    value();
    auto xf = test::floats(x);
    const auto dyf = test::floats(dy);
    std::vector<float> yf(y.size());
    activation_forward(workers, type, kRows, kCols, xf.data(), yf.data());
    activation_backward(workers, type, kRows, kCols, xf.data(), dyf.data(), xf.data());  // in place
    CHECK(test::relative_error(yf, y) < 3e-7);
    CHECK(test::relative_error(xf, dx) < 1e-6);
  }
  // far out on both sides nothing becomes NaN or infinite
  std::vector<float> far = {-1e4F, 1e4F, -90.0F, 90.0F}, y(4);
  activation_forward(workers, silu, 1, 4, far.data(), y.data());
  CHECK(y == std::vector<float>{0.0F, 1e4F, y[2], 90.0F});
  CHECK(std::abs(y[2]) < 1e-35);
}

TEST_CASE("embedding: the shards add up to the whole") {
  Workers workers(2);
  const std::vector<int32_t> tokens = {0, 5, 3, 5};
  const Doubles table = random_values(6 * kCols, 13), dy = random_values(4 * kCols, 14);
  Doubles whole(4 * kCols), low(4 * kCols), high(4 * kCols);
  embedding_forward(workers, 4, kCols, 0, 6, tokens.data(), table.data(), whole.data());
  embedding_forward(workers, 4, kCols, 0, 4, tokens.data(), table.data(), low.data());
  embedding_forward(workers, 4, kCols, 4, 2, tokens.data(), table.data() + 4 * kCols, high.data());
  for (size_t i = 0; i < whole.size(); ++i) CHECK(whole[i] == low[i] + high[i]);
  CHECK(whole[kCols] == table[5 * kCols]);
  Doubles dtable(2 * kCols, 1.0);
  embedding_backward(workers, 4, kCols, 4, 2, tokens.data(), dy.data(), dtable.data());
  for (size_t c = 0; c < kCols; ++c) {
    CHECK(dtable[c] == 1);
    CHECK(dtable[kCols + c] == 1 + dy[kCols + c] + dy[3 * kCols + c]);
  }
}

TEST_CASE("elementwise and bf16") {
  Workers workers(2);
  const Doubles a = random_values(10001, 15);
  Doubles y(a.size());
  add(workers, 10001, a.data(), a.data(), y.data());
  CHECK(y[10000] == 2 * a[10000]);
  scale(workers, 10001, 3.0, a.data(), y.data());
  CHECK(y[9999] == 3 * a[9999]);
  double squares = 0;
  for (const double v : a) squares += v * v;
  CHECK(squared_norm(workers, 10001, a.data()) == Approx(squares).epsilon(1e-13));
  Workers alone(1);
  CHECK(squared_norm(workers, 10001, a.data()) == squared_norm(alone, 10001, a.data()));

  const Doubles bias = {1, 2};
  Doubles rows = {1, 1, 2, 2}, dbias = {0, 0};
  add_bias(workers, 2, 2, rows.data(), bias.data(), rows.data());
  CHECK(rows == Doubles{2, 3, 3, 4});
  bias_gradient(workers, 2, 2, rows.data(), dbias.data());
  CHECK(dbias == Doubles{5, 7});

  // bf16 keeps 8 bits of significand: 1 + 2^-8 lies half way between 1 and 1 + 2^-7
  CHECK(float_of(bf16_of(1.0F + 0x1p-8F)) == 1.0F);                // tie to even
  CHECK(float_of(bf16_of(1.0F + 3 * 0x1p-8F)) == 1.0F + 0x1p-6F);  // tie to even, upwards
  CHECK(float_of(bf16_of(1.0F + 0x1p-8F + 0x1p-20F)) == 1.0F + 0x1p-7F);
  CHECK(float_of(bf16_of(-2.5F)) == -2.5F);
  CHECK(std::isinf(float_of(bf16_of(3.4e38F))));
  CHECK(std::isnan(float_of(bf16_of(std::nanf("")))));
  std::vector<float> v = {1.0F + 0x1p-8F, 3.14159F}, w(2);
  std::vector<uint16_t> h(2);
  round_to_bf16(workers, 2, v.data(), w.data());
  to_bf16(workers, 2, v.data(), h.data());
  from_bf16(workers, 2, h.data(), v.data());
  CHECK(v == w);
  CHECK(w[1] == 3.140625F);
}

}  // namespace
}  // namespace meshplan::cpu
