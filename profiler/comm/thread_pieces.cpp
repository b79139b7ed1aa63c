// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/thread_pieces.hpp"

#include <cassert>
#include <cstring>
#include <numeric>

#include "profiler/comm/reduce.hpp"

namespace meshplan {
namespace {

/// memmove, because in-place calls hand in source = target.
void move_bytes(void* to, int64_t to_offset, const void* from, int64_t from_offset, int64_t bytes) {
  if (bytes == 0) return;
  void* target = static_cast<std::byte*>(to) + to_offset;
  const void* source = static_cast<const std::byte*>(from) + from_offset;
  if (target != source) std::memmove(target, source, static_cast<size_t>(bytes));
}

std::vector<const void*> sources_of(std::span<const Request> requests) {
  std::vector<const void*> sources;
  for (const Request& request : requests) sources.push_back(request.send);
  return sources;
}

void reduce_piece(std::span<const Request> requests, int piece, std::vector<int64_t>& moved) {
  const int size = static_cast<int>(requests.size());
  const Request& own = requests[static_cast<size_t>(piece)];
  const bool everywhere = own.transfer == Transfer::all_reduce;
  const int64_t begin =
      everywhere ? part_begin(own.bytes, own.element, piece, size) : piece * own.bytes;
  const int64_t end =
      everywhere ? part_begin(own.bytes, own.element, piece + 1, size) : begin + own.bytes;
  reduce_in_order(own.element, own.reduce, sources_of(requests), begin, end,
                  [&](const void* result, int64_t offset, int64_t bytes) {
                    if (!everywhere)
                      return move_bytes(own.receive, offset - begin, result, 0, bytes);
                    for (const Request& r : requests)
                      move_bytes(r.receive, offset, result, 0, bytes);
                  });
  moved[static_cast<size_t>(piece)] += (size - 1) * (end - begin);
  if (!everywhere) return;
  for (size_t r = 0; r < requests.size(); ++r) {
    if (static_cast<int>(r) != piece) moved[r] += end - begin;
  }
}

void gather_piece(std::span<const Request> requests, size_t piece, std::vector<int64_t>& moved) {
  const Request& own = requests[piece];
  for (size_t r = 0; r < requests.size(); ++r) {
    move_bytes(own.receive, static_cast<int64_t>(r) * own.bytes, requests[r].send, 0, own.bytes);
    if (r != piece) moved[piece] += own.bytes;
  }
}

void all_to_all_piece(std::span<const Request> requests, size_t piece,
                      std::vector<int64_t>& moved) {
  const Request& own = requests[piece];
  int64_t to = 0;
  for (size_t r = 0; r < requests.size(); ++r) {
    const std::vector<int64_t>& sent = requests[r].send_bytes;
    const auto part = static_cast<std::ptrdiff_t>(piece);
    const int64_t bytes = sent.empty() ? own.bytes : sent[piece];
    const int64_t from = sent.empty()
                             ? static_cast<int64_t>(piece) * own.bytes
                             : std::accumulate(sent.begin(), sent.begin() + part, int64_t{0});
    move_bytes(own.receive, to, requests[r].send, from, bytes);
    if (r != piece) moved[piece] += bytes;
    to += bytes;
  }
}

void copy_piece(std::span<const Request> requests, size_t piece, size_t from,
                std::vector<int64_t>& moved) {
  const Request& own = requests[piece];
  move_bytes(own.receive, 0, requests[from].send, 0, own.bytes);
  if (from != piece) moved[piece] += own.bytes;
}

}  // namespace

std::vector<int64_t> carry_out(std::span<const Request> requests, int piece) {
  std::vector<int64_t> moved(requests.size(), 0);
  const auto at = static_cast<size_t>(piece);
  switch (requests[at].transfer) {
    case Transfer::all_reduce:
    case Transfer::reduce_scatter:
      reduce_piece(requests, piece, moved);
      break;
    case Transfer::all_gather:
      gather_piece(requests, at, moved);
      break;
    case Transfer::all_to_all:
      all_to_all_piece(requests, at, moved);
      break;
    case Transfer::ring_exchange:
      copy_piece(requests, at, (at + requests.size() - 1) % requests.size(), moved);
      break;
    case Transfer::broadcast:
      copy_piece(requests, at, static_cast<size_t>(requests[at].peer), moved);
      break;
    case Transfer::barrier:
      break;
    case Transfer::send:
    case Transfer::receive:
      assert(false);
  }
  return moved;
}

}  // namespace meshplan
