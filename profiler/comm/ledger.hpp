// SPDX-License-Identifier: Apache-2.0
// What did one rank really communicate? Counted by the communicator when an operation completes,
// per label of a group (the axis: "tp", "shard", ...) and kind of transfer.
//
// Size convention (`bytes`), the one of nccl-tests and of Collective in strategies/program/op.hpp:
//   all_gather, reduce_scatter   the whole gathered buffer (group size x shard)
//   all_reduce, broadcast        the buffer
//   all_to_all, ring_exchange    what this rank hands in, the part for itself included
//   send, receive                the message
//   barrier                      0
// `moved_bytes` is what came into this rank's memory, or into its sums, from other ranks.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace meshplan {

enum class Transfer : uint8_t {
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  ring_exchange,
  broadcast,
  barrier,
  send,
  receive
};
const char* name_of(Transfer transfer);

struct LedgerEntry {
  int64_t calls = 0;
  int64_t bytes = 0;
  int64_t moved_bytes = 0;
  bool operator==(const LedgerEntry&) const = default;
};

/// Ordered, so that it prints the same everywhere.
using Ledger = std::map<std::pair<std::string, Transfer>, LedgerEntry>;

}  // namespace meshplan
