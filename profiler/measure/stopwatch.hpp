// SPDX-License-Identifier: Apache-2.0
// Times a piece of work that all ranks of a world do at the same time.
#pragma once
#include <functional>
#include <memory>

#include "profiler/comm/world.hpp"

namespace meshplan {

class Stopwatch {
 public:
  /// Collective over the world. median: see time().
  static Result<Stopwatch> make(World& world, double seconds_per_point, bool median = false);

  /// Seconds of one call: the shortest of five batches (what else the computer does only ever adds
  /// to one), or their median, which tells what a computer that does more than this gives; the mean
  /// over the ranks. All ranks call it with the same work, which may communicate; every rank calls
  /// it equally often.
  Result<double> time(const std::function<Status()>& work);
  Communicator& group() { return *group_; }

 private:
  std::shared_ptr<Communicator> group_;
  double seconds_per_point_ = 0;
  bool median_ = false;
};

}  // namespace meshplan
