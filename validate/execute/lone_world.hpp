// SPDX-License-Identifier: Apache-2.0
// One rank of a world whose other ranks are not there: to walk through its program, or to run it
// alone with something in the place of what the others would do (validate/emulate).
#pragma once
#include <functional>

#include "profiler/comm/world.hpp"

namespace meshplan {

/// Called for every operation of every group when it starts; `rank` and `size` within the group.
struct LoneCall {
  const std::string& label;
  int rank, size;
  const Request& request;
};
using StandIn = std::function<Status(const LoneCall&)>;

class LoneWorld : public World {
 public:
  /// stand_in: may be empty, then buffers stay as they are.
  LoneWorld(int rank, int size, StandIn stand_in)
      : rank_(rank), size_(size), stand_in_(std::move(stand_in)) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void stop(const std::string&) override {}
  Result<std::unique_ptr<Communicator>> group(const std::vector<int>& members,
                                              const std::string& label) override;

 private:
  int rank_, size_;
  StandIn stand_in_;
};

}  // namespace meshplan
