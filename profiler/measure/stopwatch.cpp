// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure/stopwatch.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>

namespace meshplan {
namespace {

double now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

}  // namespace

Result<Stopwatch> Stopwatch::make(World& world, double seconds_per_point, bool median) {
  std::vector<int> members(static_cast<size_t>(world.size()));
  std::iota(members.begin(), members.end(), 0);
  MESHPLAN_TRY(std::unique_ptr<Communicator> group, world.group(members, "stopwatch"));
  Stopwatch watch;
  watch.group_ = std::move(group);
  watch.seconds_per_point_ = seconds_per_point;
  watch.median_ = median;
  return watch;
}

Result<double> Stopwatch::time(const std::function<Status()>& work) {
  MESHPLAN_CHECK(work());  // fresh pages, cold code
  constexpr size_t kBatches = 5;
  MESHPLAN_CHECK(group_->barrier());
  double begin = now();
  MESHPLAN_CHECK(work());
  double once = now() - begin;
  MESHPLAN_CHECK(group_->all_reduce(&once, 1, ReduceOp::max));
  const auto calls = static_cast<int64_t>(
      std::clamp(seconds_per_point_ / kBatches / std::max(once, 1e-9), 1.0, 1e5));
  std::array<double, kBatches> batches{};
  for (double& batch : batches) {
    MESHPLAN_CHECK(group_->barrier());
    begin = now();
    for (int64_t i = 0; i < calls; ++i) MESHPLAN_CHECK(work());
    batch = (now() - begin) / static_cast<double>(calls);
  }
  std::sort(batches.begin(), batches.end());
  double seconds = batches[median_ ? kBatches / 2 : 0];
  MESHPLAN_CHECK(group_->all_reduce(&seconds, 1));
  return seconds / group_->size();
}

}  // namespace meshplan
