// SPDX-License-Identifier: Apache-2.0
#include "costmodel/step/phase_time.hpp"

#include <algorithm>
#include <vector>

#include "costmodel/collectives/normal.hpp"
#include "strategies/program/overlap.hpp"

namespace meshplan {

PhaseTime& PhaseTime::operator+=(const PhaseTime& other) {
  wall += other.wall;
  gemm += other.gemm;
  attention += other.attention;
  memory += other.memory;
  for (size_t g = 0; g < kGroups; ++g) {
    exposed[g] += other.exposed[g];
    network[g] += other.network[g];
  }
  occupied += other.occupied;
  slowdown += other.slowdown;
  host += other.host;
  kernels += other.kernels;
  collectives += other.collectives;
  return *this;
}

PhaseTime PhaseTime::scaled(double factor) const {
  PhaseTime result = *this;
  for (double* term :
       {&result.wall, &result.gemm, &result.attention, &result.memory, &result.occupied,
        &result.slowdown, &result.host, &result.kernels, &result.collectives}) {
    *term *= factor;
  }
  for (size_t g = 0; g < kGroups; ++g) {
    result.exposed[g] *= factor;
    result.network[g] *= factor;
  }
  return result;
}

namespace {

/// When the whole of a value is there, and when its first piece is (chunked overlap).
struct Ready {
  double whole = 0, first = 0;
};

class Streams {
 public:
  Streams(const Block& block, const PriceContext& context, const StreamRules& rules)
      : context_(context),
        rules_(rules),
        ready_(block.buffers.size()),
        made_by_(block.buffers.size(), -1) {}

  void run(const Op& op) {
    const OpPrice price = meshplan::price(op, context_);
    if (const auto* collective = std::get_if<Collective>(&op.body)) {
      time_.collectives += price.kernels;
      if (price.seconds > 0) communicate(op, *collective, price);
    } else {
      time_.kernels += price.kernels;
      const bool graphed = (context_.trainer.graphed_modules & bit(op.module)) != 0;
      launches_s_ += price.kernels * (graphed ? rules_.graph_launch_s : rules_.kernel_launch_s);
      compute(op, price);
    }
  }

  PhaseTime finish() {
    double end = clock_;
    for (size_t g = 0; g < kGroups; ++g) {
      if (stream_[g] > end) {
        time_.exposed[g] += stream_[g] - end;
        end = stream_[g];
      }
    }
    // An exchange of experts has nothing of its own micro-batch to hide behind, but as much work of
    // another one: a forward and a backward pass run layer by layer side by side.
    if (rules_.overlap_experts) {
      double& exchange = time_.exposed[static_cast<size_t>(Group::ep)];
      const double beside = std::min(exchange, time_.compute());
      exchange -= beside;
      end -= beside;
    }
    double network = 0, exposed = 0;
    for (size_t g = 0; g < kGroups; ++g) {
      network += time_.network[g];
      exposed += time_.exposed[g];
    }
    const double hidden = std::min(std::max(0.0, network - exposed), time_.compute());
    const double occupancy = network > 0 ? time_.occupied / network : 0;
    time_.slowdown = rules_.overlap_slowdown * occupancy * hidden;
    time_.wall = end + time_.slowdown;
    const double launches = launches_s_ + time_.collectives * rules_.collective_launch_s;
    time_.host = std::max(0.0, launches - time_.wall);
    time_.wall += time_.host;
    return time_;
  }

 private:
  static bool chunks(const Trainer& trainer, Group group) {
    return group == Group::tp && trainer.tp_overlap == TpOverlap::ring;
  }
  double pieces() const {
    return static_cast<double>(std::max<int64_t>(1, context_.of(Group::tp).ranks));
  }

  void communicate(const Op& op, const Collective& collective, const OpPrice& price) {
    const Group group = collective.group;
    const auto g = static_cast<size_t>(group);
    const Trainer& trainer = context_.trainer;
    const bool blocks = collective.alone || !overlapped(group, trainer);
    double seconds = price.seconds;
    if (blocks && apart_)
      seconds += rules_.rank_skew_s * expected_maximum(context_.of(group).ranks);
    if (blocks) apart_ = false;
    time_.network[g] += seconds;
    time_.occupied += seconds * price.occupancy;
    double& stream = stream_[g];
    double whole = 0, first = 0;
    for (const BufferId id : op.in) {
      whole = std::max(whole, ready_[static_cast<size_t>(id)].whole);
      first = std::max(first, ready_[static_cast<size_t>(id)].first);
    }
    Ready out;
    if (blocks) {
      const double start = std::max({stream, clock_, whole});
      time_.exposed[g] += start + seconds - clock_;
      stream = clock_ = out.whole = out.first = start + seconds;
    } else if (chunks(trainer, group)) {
      const double start = std::max(stream, first);
      out.first = start + seconds / pieces();
      out.whole = std::max(start + seconds, whole + seconds / pieces());
      stream = out.whole;
    } else {
      const double start = std::max(stream, whole);
      stream = out.whole = out.first = start + seconds;
    }
    for (const BufferId id : op.out) {
      ready_[static_cast<size_t>(id)] = out;
      made_by_[static_cast<size_t>(id)] = static_cast<int>(g);
    }
  }

  void compute(const Op& op, const OpPrice& price) {
    double start = clock_, tail = 0;
    int cause = -1;
    for (const BufferId id : op.in) {
      const Ready& ready = ready_[static_cast<size_t>(id)];
      const int by = made_by_[static_cast<size_t>(id)];
      // A product may start on the first piece of what a chunked collective brings.
      const bool piecewise = price.resource == Resource::gemm && by >= 0;
      const double at = piecewise ? ready.first : ready.whole;
      if (at > start) {
        start = at;
        cause = by;
      }
      if (piecewise && ready.whole + price.seconds / pieces() > tail) {
        tail = ready.whole + price.seconds / pieces();
        if (cause < 0) cause = by;
      }
    }
    const double end = std::max(start + price.seconds, tail);
    if (cause >= 0) time_.exposed[static_cast<size_t>(cause)] += end - clock_ - price.seconds;
    clock_ = end;
    apart_ |= price.resource == Resource::gemm || price.resource == Resource::attention;
    switch (price.resource) {
      case Resource::gemm:
        time_.gemm += price.seconds;
        break;
      case Resource::attention:
        time_.attention += price.seconds;
        break;
      case Resource::memory:
      case Resource::host_memory:
      case Resource::network:
        time_.memory += price.seconds;
        break;
    }
    for (const BufferId id : op.out) {
      ready_[static_cast<size_t>(id)] = {end, start + price.seconds / pieces()};
      made_by_[static_cast<size_t>(id)] = -1;
    }
  }

  const PriceContext& context_;
  const StreamRules& rules_;
  std::vector<Ready> ready_;
  std::vector<int> made_by_;  ///< group whose collective wrote it; -1 a kernel
  double clock_ = 0;
  bool apart_ = false;  ///< products were made since ranks last met; a block ends with them met
  std::array<double, kGroups> stream_ = {};
  double launches_s_ = 0;  ///< host time of all kernels
  PhaseTime time_;
};

}  // namespace

PhaseTime phase_time(const Block& block, Phase phase, const PriceContext& context,
                     const StreamRules& rules) {
  Streams streams(block, context, rules);
  for (const Op& op : block.ops(phase)) streams.run(op);
  return streams.finish();
}

}  // namespace meshplan
