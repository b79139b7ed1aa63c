// SPDX-License-Identifier: Apache-2.0
// How long does a collective take inside one node, from measured sizes and rank counts?
#pragma once
#include <map>
#include <string>
#include <vector>

#include "strategies/program/op.hpp"
#include "topologies/base/result.hpp"

namespace meshplan {

class NodeTable {
 public:
  struct Time {
    double seconds = 0;
    double latency_s = 0;   ///< at the smallest size
    bool exact = false;     ///< a measured point
    bool extended = false;  ///< more ranks or larger than measured, or another operation's table
  };
  static Result<NodeTable> read(const std::string& path);

  /// Log-log in bytes between measured sizes, linear in the rank count between measured counts; the
  /// bus bandwidth of the largest size and rank count holds beyond them. Not scaled to other links.
  Time time(CollectiveOp op, int64_t ranks, double bytes) const;

  std::vector<double> leave_one_out() const;

 private:
  struct Curve {
    std::vector<double> bytes, seconds;  ///< ascending both
    double latency_s = 0;
  };
  struct Key {
    CollectiveOp op;
    int64_t ranks;
    bool operator<(const Key& o) const { return op != o.op ? op < o.op : ranks < o.ranks; }
  };
  Time on_curve(const Curve& curve, double bytes) const;
  std::map<Key, Curve> curves_;
};

/// Bytes over the busiest link per byte of the nccl-tests size: 2 (n-1)/n or (n-1)/n.
double bus_factor(CollectiveOp op, int64_t ranks);

}  // namespace meshplan
