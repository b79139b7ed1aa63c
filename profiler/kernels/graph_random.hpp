// SPDX-License-Identifier: Apache-2.0
// Which number comes at this place of this stream? Counter-based: a draw depends on its key and
// place only, so that threads and runs agree. (The finaliser is splitmix64's, Steele, Lea, Flood,
// OOPSLA 2014.)
#pragma once
#include <cmath>
#include <cstdint>

namespace meshplan::graph {

constexpr uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}
constexpr uint64_t combine(uint64_t a, uint64_t b) { return mix64(a ^ mix64(b)); }

/// Whole number in [0, n); the bias is below n / 2^32.
constexpr int64_t below(uint64_t bits, int64_t n) {
  return static_cast<int64_t>(((bits >> 32) * static_cast<uint64_t>(n)) >> 32);
}

/// Normal deviate number i of a stream (Box and Muller, 1958).
inline float normal(uint64_t key, uint64_t i) {
  const double u = (static_cast<double>(mix64(key ^ mix64(2 * i)) >> 11) + 0.5) * 0x1p-53;
  const double v = static_cast<double>(mix64(key ^ mix64(2 * i + 1)) >> 11) * 0x1p-53;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v));
}

/// A permutation of [0, n) that needs no memory: four Feistel rounds on numbers of two digits,
/// whose bases are near the root of n (Black and Rogaway, CT-RSA 2002), walked until the image is
/// in range, as it nearly always is at once.
class Permutation {
 public:
  constexpr Permutation(int64_t n, uint64_t key) : n_(static_cast<uint64_t>(n)), key_(key) {
    for (uint64_t bit = uint64_t{1} << 31; bit > 0; bit /= 2)
      if ((low_ + bit - 1) * (low_ + bit - 1) < n_) low_ += bit;  // the root, rounded up
    high_ = (n_ + low_ - 1) / low_;
  }
  constexpr int64_t operator()(int64_t i) const {
    auto x = static_cast<uint64_t>(i);
    do {
      uint64_t low = x % low_, high = x / low_;
      for (uint64_t round = 0; round < 4; round += 2) {
        high = sum(high, low, round, high_);
        low = sum(low, high, round + 1, low_);
      }
      x = high * low_ + low;
    } while (x >= n_);
    return static_cast<int64_t>(x);
  }

 private:
  /// digit + f(other), modulo the base
  constexpr uint64_t sum(uint64_t digit, uint64_t other, uint64_t round, uint64_t base) const {
    digit += static_cast<uint64_t>(
        below(mix64(key_ + round + (other << 2)), static_cast<int64_t>(base)));
    return digit < base ? digit : digit - base;
  }
  uint64_t n_, key_, low_ = 0, high_ = 0;
};

}  // namespace meshplan::graph
