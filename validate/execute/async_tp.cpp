// SPDX-License-Identifier: Apache-2.0
// StageRunner's part in asynchronous tensor parallelism: pieces of a gathered operand, or of a
// product to be scattered, travel straight between the ranks that hold and need them while the
// product of another piece is made. Sums are made in rank order, as a reduce-scatter makes them.
#include "validate/execute/stage_runner.hpp"

namespace meshplan {
namespace {

/// The same step of all ranks: to the rank that is `distance` further, from the one as far behind.
Pending exchange(Communicator& group, int distance, const std::byte* send, std::byte* receive,
                 int64_t bytes) {
  const int size = group.size();
  std::vector<int64_t> out(static_cast<size_t>(size), 0), in = out;
  out[static_cast<size_t>((group.rank() + distance) % size)] = bytes;
  in[static_cast<size_t>((group.rank() - distance + size) % size)] = bytes;
  return group.start_all_to_all(send, out, receive, in);
}

/// Rows of piece `piece` of the product.
Status multiply(const Op& product, const OpSite& site, int piece, int pieces) {
  Op part = product;
  auto& gemm = std::get<Gemm>(part.body);
  gemm.m /= pieces;
  OpSite rows = site;
  rows.rows = {{{part.in[0], piece * gemm.m, gemm.m}, {part.out[0], piece * gemm.m, gemm.m}}};
  return site.env.device().apply(part, rows);
}

}  // namespace

Status StageRunner::gather_and_multiply(const PhaseSite& at, const Op& gather, const Op& product,
                                        size_t position) {
  Communicator& group = *env_.group(Group::tp);
  const int rank = group.rank(), size = group.size();
  const int64_t bytes = std::get<Collective>(gather.body).bytes / size;
  MESHPLAN_CHECK(allocate_at(at, position));
  MESHPLAN_CHECK(in_flight_.before(gather, at.site));
  const Tensor whole = at.site.tensor(gather.out[0]);
  const auto piece = [&](int r) { return whole.data + r * bytes; };
  MESHPLAN_CHECK(env_.device().convert(bytes / bytes_of(whole.type), at.site.tensor(gather.in[0]),
                                       {piece(rank), whole.type}));
  free_at(at, position);
  MESHPLAN_CHECK(allocate_at(at, position + 1));
  MESHPLAN_CHECK(in_flight_.before(product, at.site));
  for (int distance = 0; distance < size; ++distance) {
    const auto from = [&](int d) { return (rank - d + size) % size; };
    Pending next;
    if (distance + 1 < size) {
      next = exchange(group, distance + 1, piece(rank), piece(from(distance + 1)), bytes);
    }
    MESHPLAN_CHECK(multiply(product, at.site, from(distance), size));
    if (next.started()) MESHPLAN_CHECK(next.wait());
  }
  return Done{};
}

Status StageRunner::multiply_and_scatter(const PhaseSite& at, const Op& product, const Op& scatter,
                                         size_t position) {
  Communicator& group = *env_.group(Group::tp);
  const int rank = group.rank(), size = group.size();
  const int64_t bytes = std::get<Collective>(scatter.body).bytes / size;
  MESHPLAN_CHECK(allocate_at(at, position));
  MESHPLAN_CHECK(in_flight_.before(product, at.site));
  const Tensor partial = at.site.tensor(product.out[0]);
  const auto piece = [&](int r) { return partial.data + r * bytes; };
  // a piece that has been sent makes room for what arrives next
  MESHPLAN_TRY(std::byte * room, env_.device().scratch(kPieceScratch, bytes));
  std::vector<Tensor> parts(static_cast<size_t>(size), partial);
  Pending under_way;
  for (int distance = 1; distance < size; ++distance) {
    const int to = (rank + distance) % size, from = (rank - distance + size) % size;
    MESHPLAN_CHECK(multiply(product, at.site, to, size));
    if (under_way.started()) MESHPLAN_CHECK(under_way.wait());
    under_way = exchange(group, distance, piece(to), room, bytes);
    parts[static_cast<size_t>(from)].data = room;
    room = piece(to);
  }
  MESHPLAN_CHECK(multiply(product, at.site, rank, size));
  parts[static_cast<size_t>(rank)].data = piece(rank);
  MESHPLAN_CHECK(under_way.wait());
  free_at(at, position);
  MESHPLAN_CHECK(allocate_at(at, position + 1));
  MESHPLAN_CHECK(in_flight_.before(scatter, at.site));
  return env_.device().sum(parts, bytes / bytes_of(partial.type), at.site.tensor(scatter.out[0]));
}

}  // namespace meshplan
