// SPDX-License-Identifier: Apache-2.0
#include "profiler/kernels/fp8.hpp"

#include <vector>

#include "tests/unit/catch.hpp"

namespace meshplan::cpu {
namespace {

TEST_CASE("8-bit floats by hand") {
  // e4m3: 1 = 0 0111 000; the largest 448 = 0 1111 110; the smallest 2^-9; 17 lies between 16 and
  // 18
  CHECK(fp8_of(1, Fp8::e4m3) == 0x38);
  CHECK(fp8_of(-1, Fp8::e4m3) == 0xb8);
  CHECK(fp8_of(448, Fp8::e4m3) == 0x7e);
  CHECK(fp8_of(1e9F, Fp8::e4m3) == 0x7e);
  CHECK(fp8_of(0.001953125F, Fp8::e4m3) == 0x01);
  CHECK(fp8_of(0.0009F, Fp8::e4m3) == 0x00);
  CHECK(float_of(fp8_of(17, Fp8::e4m3), Fp8::e4m3) == 16);  // a half: to even
  CHECK(float_of(fp8_of(19, Fp8::e4m3), Fp8::e4m3) == 20);
  CHECK(float_of(fp8_of(15.6F, Fp8::e4m3), Fp8::e4m3) == 16);  // into the next power
  // e5m2: 1 = 0 01111 00; the largest 57344 = 0 11110 11; the smallest 2^-16
  CHECK(fp8_of(1, Fp8::e5m2) == 0x3c);
  CHECK(fp8_of(57344, Fp8::e5m2) == 0x7b);
  CHECK(fp8_of(1e9F, Fp8::e5m2) == 0x7b);
  CHECK(fp8_of(0.0000152587890625F, Fp8::e5m2) == 0x01);
  for (const Fp8 format : {Fp8::e4m3, Fp8::e5m2}) {  // what is a number stays
    const int last = format == Fp8::e4m3 ? 0x7e : 0x7b;
    for (int bits = 0; bits <= last; ++bits) {
      CHECK(fp8_of(float_of(static_cast<uint8_t>(bits), format), format) == bits);
    }
  }
}

TEST_CASE("8-bit tensors have the scale of their largest number") {
  Workers workers(2);
  const std::vector<float> x{-896, 1, 0.5F};
  std::vector<uint8_t> y(3);
  std::vector<float> back(3);
  const float scale = fp8_scale(workers, 3, x.data(), Fp8::e4m3);
  CHECK(scale == 2);
  to_fp8(workers, 3, x.data(), scale, Fp8::e4m3, y.data());
  from_fp8(workers, 3, y.data(), scale, Fp8::e4m3, back.data());
  CHECK(back == x);
  const float zero = 0;
  CHECK(fp8_scale(workers, 1, &zero, Fp8::e4m3) == 1);
}

}  // namespace
}  // namespace meshplan::cpu
