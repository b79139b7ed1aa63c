// SPDX-License-Identifier: Apache-2.0
// COVER: the lines of the affine plane over a field of c elements. Points are the c^2 partitions;
// the c + 1 classes of parallel lines are rounds, and the c lines of a class, which share no point,
// are the ranks' holds. Two points lie on exactly one line, so every pair meets once.
#include "strategies/embedding/orders.hpp"

namespace meshplan::graph {
namespace {

/// Polynomials over GF(2) reduced by the field's polynomial; primes by modulus.
int times(int a, int b, int c) {
  const int polynomial = c == 4 ? 0b111 : c == 8 ? 0b1011 : 0;
  if (polynomial == 0) return a * b % c;
  int product = 0;
  for (int bit = 0; (b >> bit) != 0; ++bit)
    if ((b >> bit & 1) != 0) product ^= a << bit;
  const int degree = c == 4 ? 2 : 3;
  for (int bit = 2 * degree; bit >= degree; --bit)
    if ((product >> bit & 1) != 0) product ^= polynomial << (bit - degree);
  return product;
}
int plus(int a, int b, int c) { return c == 4 || c == 8 ? a ^ b : (a + b) % c; }

}  // namespace

bool has_field(int c) {
  for (const int known : {2, 3, 4, 5, 7, 8})
    if (c == known) return true;
  return false;
}

std::vector<std::vector<Hold>> cover_rounds(const ScheduleShape& shape) {
  const int c = shape.resident;
  std::vector<std::vector<Hold>> rounds;
  for (int slope = 0; slope <= c; ++slope) {  // slope c: x = constant
    std::vector<Hold> round;
    for (int line = 0; line < c; ++line) {
      std::vector<bool> on(static_cast<size_t>(c * c), false);
      for (int x = 0; x < c; ++x) {
        const int point = slope == c ? line * c + x : x * c + plus(times(slope, x, c), line, c);
        on[static_cast<size_t>(point)] = true;
      }
      Hold hold;
      for (int p = 0; p < c * c; ++p)
        if (on[static_cast<size_t>(p)]) hold.partitions.push_back(p);
      for (const int i : hold.partitions)
        for (const int j : hold.partitions)
          if (i != j || slope == 0) hold.buckets.emplace_back(i, j);  // diagonals once
      round.push_back(std::move(hold));
    }
    rounds.push_back(std::move(round));
  }
  if (shape.ranks == c) return rounds;
  std::vector<Hold> flat;
  for (std::vector<Hold>& round : rounds)
    for (Hold& hold : round) flat.push_back(std::move(hold));
  return one_rank(std::move(flat));
}

}  // namespace meshplan::graph
