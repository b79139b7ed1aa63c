// SPDX-License-Identifier: Apache-2.0
#include "profiler/cuda/profile_comm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "profiler/comm/gpu_world.hpp"
#include "profiler/cuda/gemm.hpp"
#include "profiler/cuda/memory.hpp"
#include "profiler/measure/rank_groups.hpp"

namespace meshplan::cuda {
namespace {

constexpr int64_t kSmallest = 1 << 10, kLargest = int64_t{1} << 30;
constexpr int64_t kSide = 8192;  ///< of the products

using Call = std::function<Status(int64_t bytes)>;

/// One rank of a group; the first one keeps what was measured.
class Rank {
 public:
  Rank(World& base, GpuWorld& gpus, const RankGroup& group, const CommunicationOptions& options,
       CommunicationProfile& profile)
      : base_(base), gpus_(gpus), ranks_(group), options_(options), profile_(profile) {}

  Status run() {
    MESHPLAN_TRY(host_, base_.group(ranks_.members, "profile"));
    MESHPLAN_TRY(group_, gpus_.group(ranks_.members, "profiled"));
    MESHPLAN_TRY(a_, DeviceMemory::make(kLargest));
    MESHPLAN_TRY(b_, DeviceMemory::make(kLargest));
    MESHPLAN_CUDA(cudaMemset(a_.get(), 0, kLargest));
    MESHPLAN_TRY(begin_, make_event(true));
    MESHPLAN_TRY(end_, make_event(true));
    tables_.ranks = group_->size();
    tables_.nodes = ranks_.nodes;
    MESHPLAN_CHECK(collectives());
    MESHPLAN_CHECK(slowdown());
    if (first()) profile_.tables.push_back(std::move(tables_));
    return Done{};
  }

 private:
  bool first() const { return host_->rank() == 0; }

  Status collectives() {
    Communicator& group = *group_;
    const int64_t n = group.size();
    MESHPLAN_CHECK(measure(CollectiveOp::all_reduce, [&](int64_t bytes) {
      return group.all_reduce(a_.get(), bytes / 2, Element::bf16);
    }));
    MESHPLAN_CHECK(measure(CollectiveOp::all_gather, [&](int64_t bytes) {
      return group.all_gather(a_.get(), b_.get(), bytes / n);
    }));
    MESHPLAN_CHECK(measure(CollectiveOp::reduce_scatter, [&](int64_t bytes) {
      return group.reduce_scatter(a_.get(), b_.get(), bytes / n / 2, Element::bf16);
    }));
    MESHPLAN_CHECK(measure(CollectiveOp::all_to_all, [&](int64_t bytes) {
      return group.all_to_all(a_.get(), b_.get(), bytes / n);
    }));
    MESHPLAN_CHECK(measure(CollectiveOp::ring_exchange, [&](int64_t bytes) {
      return group.ring_exchange(a_.get(), b_.get(), bytes);
    }));
    // a message to the next rank, while all send one
    tables_.kernels["send"] = tables_.kernels[name_of(CollectiveOp::ring_exchange)];
    return Done{};
  }

  /// All ranks go on, or none.
  Result<bool> stop() {
    double late = first() && options_.late && options_.late() ? 1 : 0;
    MESHPLAN_CHECK(host_->all_reduce(&late, 1, ReduceOp::max));
    return late > 0;
  }

  /// Seconds of one call among back-to-back calls, on this rank.
  Result<double> time(int repeats, const std::function<Status()>& work) {
    for (int i = 0; i < 2; ++i) MESHPLAN_CHECK(work());  // NCCL connects, chooses
    MESHPLAN_CUDA(cudaStreamSynchronize(gpus_.compute_stream()));
    MESHPLAN_CHECK(host_->barrier());
    MESHPLAN_CUDA(cudaEventRecord(begin_.get(), gpus_.compute_stream()));
    for (int i = 0; i < repeats; ++i) MESHPLAN_CHECK(work());
    MESHPLAN_CUDA(cudaEventRecord(end_.get(), gpus_.compute_stream()));
    MESHPLAN_TRY(const double seconds, seconds_between(begin_, end_));
    return seconds / repeats;
  }

  Status measure(CollectiveOp op, const Call& call) {
    if (first() && options_.tell) {
      options_.tell(fmt::format("{} of {} on {} nodes", name_of(op), group_->size(), ranks_.nodes));
    }
    std::vector<double> sizes, values;
    for (int64_t bytes = kSmallest; bytes <= kLargest; bytes *= options_.quick ? 4 : 2) {
      MESHPLAN_TRY(const bool stops, stop());
      if (stops && !sizes.empty()) break;
      const int repeats = bytes <= 1 << 20 ? 50 : (bytes <= 1 << 26 ? 20 : 5);
      MESHPLAN_TRY(const double seconds, time(repeats, [&] { return call(bytes); }));
      sizes.push_back(static_cast<double>(bytes));
      values.push_back(seconds / static_cast<double>(bytes));
    }
    MESHPLAN_TRY(tables_.kernels[name_of(op)], GridTable::make({sizes}, std::move(values)));
    return Done{};
  }

  /// Products alone, and beside a reduction that lasts longer than they do.
  Status slowdown() {
    MESHPLAN_TRY(const std::unique_ptr<Products> products, Products::make());
    const Product product{.m = kSide, .n = kSide, .k = kSide};
    const int64_t bytes = 2 * kSide * kSide;
    MESHPLAN_TRY(const DeviceMemory operands, DeviceMemory::make(3 * bytes));
    MESHPLAN_CUDA(cudaMemset(operands.get(), 0, static_cast<size_t>(operands.bytes())));
    auto* at = operands.as<char>();
    const auto multiply = [&] {
      return products->run(gpus_.compute_stream(), product, at, at + bytes, at + 2 * bytes);
    };
    MESHPLAN_TRY(const double alone, time(10, multiply));
    double beside = 0;
    for (int i = 0; i < 5; ++i) {
      MESHPLAN_CHECK(host_->barrier());
      Pending reduction =
          group_->start_all_reduce(b_.get(), kLargest / 2, Element::bf16, ReduceOp::sum);
      MESHPLAN_CUDA(cudaEventRecord(begin_.get(), gpus_.compute_stream()));
      MESHPLAN_CHECK(multiply());
      MESHPLAN_CUDA(cudaEventRecord(end_.get(), gpus_.compute_stream()));
      MESHPLAN_CHECK(reduction.wait());
      MESHPLAN_TRY(const double seconds, seconds_between(begin_, end_));
      if (i > 0) beside += seconds / 4;
    }
    if (first()) profile_.product_slowdown[{group_->size(), ranks_.nodes}] = beside / alone;
    return Done{};
  }

  World& base_;
  GpuWorld& gpus_;
  const RankGroup& ranks_;
  const CommunicationOptions& options_;
  CommunicationProfile& profile_;
  std::unique_ptr<Communicator> host_, group_;
  DeviceMemory a_, b_;
  Event begin_, end_;
  CpuTables tables_;
};

}  // namespace

Result<CommunicationProfile> profile_communication(World& base, int device,
                                                   const CommunicationOptions& options) {
  CommunicationProfile profile;
  MESHPLAN_TRY(const std::vector<int> node_of, nodes_of_ranks(base));
  std::vector<int> everyone(node_of.size());
  std::iota(everyone.begin(), everyone.end(), 0);
  MESHPLAN_TRY(const std::unique_ptr<Communicator> all, base.group(everyone, "all"));
  MESHPLAN_TRY(const std::unique_ptr<GpuWorld> world,
               GpuWorld::make(base, {GpuTransport::nccl, device}));
  for (const RankGroup& group : groups_to_measure(node_of)) {
    const bool member =
        std::find(group.members.begin(), group.members.end(), base.rank()) != group.members.end();
    if (member) MESHPLAN_CHECK(Rank(base, *world, group, options, profile).run());
    MESHPLAN_CHECK(all->barrier());  // one group at a time
  }
  return profile;
}

}  // namespace meshplan::cuda
