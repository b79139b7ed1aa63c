// SPDX-License-Identifier: Apache-2.0
// The longest path through a schedule, over the families of paths that matter.
//
// 1F1B-like orders. Stage s runs A_s forwards, then backward and forward in turn, then A_s
// backwards (A_s = warm_up). A path enters at the first forward of stage 0, comes to stage s in its
// steady part, stays there or makes round trips through the stages after it, and leaves through the
// last backward of stage 0:
//   enter(s)  = max over e >= s of: forwards 0..e, A_e forwards at e, backwards e..s+1
//   stay(s)   = (units - 1 - A_s) pairs at s, or round trips s -> e -> s in their place
//   leave(s)  = max over e >= s of: forwards s+1..e, A_e backwards at e, backwards e..0
// with p2p on every edge between stages. On even stages without p2p all of this is
// (m v + p - 1)(F + B). Interleaved adds the way round the ring: (v - 1) times all stages, which is
// what the warm-up takes when N forwards do not cover it (Llama 3 report, section 3.3.2).
#include <algorithm>
#include <vector>

#include "costmodel/timeline/pipeline_time.hpp"

namespace meshplan {

namespace {

/// One stage as a path sees it. A blocking send makes its action longer; p2p on edges is then zero,
/// or negative where the receiver stands still as well: the transfer is part of both actions.
struct Hop {
  double forward = 0, backward = 0;  ///< mean over the chunks; split: input gradient
  double weight = 0;                 ///< split: weight gradient
  double gather = 0, reduce = 0;
  double warm_forwards = 0;  ///< A_s forwards in a row
  double cool_backwards = 0;
  double climb = 0;    ///< all forwards (and edges, gathers) of stages 0..s
  double descend = 0;  ///< all backwards and edges of stages 0..s
  double gathers = 0;  ///< of stages 0..s
  int64_t ahead = 0;
};

class Paths {
 public:
  explicit Paths(const PipelineInput& input)
      : shape_(input.shape),
        split_(input.shape.kind == ScheduleKind::zb_h1),
        edge_(input.p2p_overlapped ? input.p2p_s
              : input.p2p_in_line  ? -input.p2p_s
                                   : 0),
        units_(input.shape.micro_batches * input.shape.chunks),
        hops_(static_cast<size_t>(input.shape.stages)) {
    const Rounds rounds = shape_.kind == ScheduleKind::interleaved
                              ? rounds_of(shape_)
                              : Rounds{1, shape_.micro_batches, 0, 0};
    first_ = rounds.first_size;
    last_ = rounds.rest_count > 0 ? rounds.rest_size : rounds.first_size;
    double climb = 0, descend = 0, gathers = 0;
    for (int stage = 0; stage < shape_.stages; ++stage) {
      Hop& hop = hops_[static_cast<size_t>(stage)];
      read(input, stage, hop);
      const double edge = stage > 0 ? edge_ : 0;
      climb += hop.forward + hop.gather + edge;
      descend += hop.backward + edge;
      gathers += hop.gather;
      largest_ = std::max(largest_, hop.forward + hop.backward);
      hop.climb = climb;
      hop.gathers = gathers;
      hop.descend = descend;
    }
  }

  double gpipe() const {
    // Flow shop of equal jobs, there and back. `held`: longest stay of the first micro-batch's
    // path.
    const auto rest = static_cast<double>(shape_.micro_batches - 1);
    double held = 0, stay_back = 0, longest = 0;
    for (const Hop& hop : hops_) {
      held = std::max(held, hop.gathers + rest * hop.forward);
      stay_back = std::max(stay_back, rest * hop.backward);
      longest = std::max(longest, hop.climb - hop.gathers + held + hop.descend + stay_back);
    }
    return longest + hops_.front().reduce;
  }

  double one_f_one_b() const {
    double longest = 0;
    double enter = 0, leave = 0;  // best e so far, without the parts that depend on s
    const double ring_forward = ring(&Hop::forward), ring_backward = ring(&Hop::backward);
    for (size_t s = hops_.size(); s-- > 0;) {
      const Hop& hop = hops_[s];
      // After the ring, what is left of the warm-up is run at e.
      const double late = static_cast<double>(2 * (hops_.size() - 1 - s));
      double warm = hop.warm_forwards, cool = hop.cool_backwards;
      if (shape_.kind == ScheduleKind::interleaved) {
        warm = std::max(warm, ring_forward + late * hop.forward);
        const auto shorter = static_cast<double>((shape_.chunks - 1) * (first_ - last_));
        cool = std::max(cool, ring_backward + (late + shorter) * hop.backward);
      }
      // The path needs a backward that a forward follows on this stage.
      const int64_t pairs = units_ - 1 - hop.ahead;
      if (pairs < 1) continue;
      enter = std::max(enter, hop.climb + warm + hop.descend);
      leave = std::max(leave, hop.climb + cool + hop.descend);
      const double end = leave - hop.climb;
      double path = enter - hop.descend + stay(s, pairs);
      double finish = end + hops_.front().reduce;
      if (split_) {
        // The first s input gradients come without a weight gradient.
        const int64_t done = std::max<int64_t>(0, pairs - static_cast<int64_t>(s));
        path -= static_cast<double>(pairs - done) * hop.weight;
        finish += hops_.front().weight;
        finish =
            std::max(finish, static_cast<double>(hop.ahead + 1) * hop.backward +
                                 static_cast<double>(shape_.micro_batches - done) * hop.weight);
      }
      longest = std::max(longest, path + finish);
    }
    return longest;
  }

 private:
  void read(const PipelineInput& input, int stage, Hop& hop) {
    const int v = shape_.chunks;
    const int64_t below = shape_.stages - 1 - stage;
    hop.ahead = v > 1 ? 2 * below + (v - 1) * first_ : below;
    const auto tail = static_cast<double>(hop.ahead - (v - 1) * first_);
    const auto shorter = static_cast<double>((v - 1) * (first_ - last_));
    for (int chunk = 0; chunk < v; ++chunk) {
      const size_t at = input.at(stage, chunk);
      const ChunkTimes& times = input.times[at];
      const int piece = virtual_stage(shape_, stage, chunk);
      double forward = times.forward;
      double backward = split_ ? times.input_gradient : times.backward;
      if (!input.p2p_overlapped && shape_.stages > 1) {
        const bool first = piece == 0, last = piece + 1 == virtual_stages(shape_);
        forward += input.p2p_s * (!last + (input.p2p_in_line && !first));
        backward += input.p2p_s * (!first + (input.p2p_in_line && !last));
      }
      hop.forward += forward / v;
      hop.backward += backward / v;
      hop.weight += times.weight_gradient / v;
      const bool top = chunk + 1 == v;
      hop.warm_forwards += forward * (top ? tail : static_cast<double>(first_));
      hop.cool_backwards += backward * (top ? tail + shorter : static_cast<double>(last_));
      if (chunk == 0 && !input.first_forward_s.empty()) hop.gather = input.first_forward_s[at];
      if (!input.last_backward_s.empty()) hop.reduce += input.last_backward_s[at];
    }
  }

  /// (chunks - 1) times through all stages and back to the first.
  double ring(double Hop::*work) const {
    double once = 0;
    for (const Hop& hop : hops_) once += hop.*work + edge_;
    return hops_.size() > 1 ? once * (shape_.chunks - 1) : 0;
  }

  /// `pairs` backwards and forwards at stage s, with round trips s -> e -> s between a forward and
  /// the backward after it. In 1F1B a trip over d stages takes the place of d + 1 pairs, in
  /// interleaved of 2 d + 1.
  double stay(size_t s, int64_t pairs) const {
    const Hop& here = hops_[s];
    const double pair = here.forward + here.backward + (split_ ? here.weight : 0);
    const int64_t per_stage = shape_.kind == ScheduleKind::interleaved ? 2 : 1;
    double gain = 0;
    // A stage more on the trip must be worth the pairs that it costs.
    const size_t top =
        largest_ + 2 * edge_ > static_cast<double>(per_stage) * pair ? hops_.size() : s;
    for (size_t e = s + 1; e < top; ++e) {
      const int64_t places = per_stage * static_cast<int64_t>(e - s) + 1;
      const int64_t trips = (pairs - 1) / places, left = (pairs - 1) % places;
      if (trips == 0) break;
      double sum = static_cast<double>(trips) * trip(s, e, pair, places);
      const int64_t shorter = left > 0 ? (left - 1) / per_stage : 0;
      if (shorter > 0)
        sum +=
            std::max(0.0, trip(s, s + static_cast<size_t>(shorter), pair, per_stage * shorter + 1));
      gain = std::max(gain, sum);
    }
    return static_cast<double>(pairs) * pair + gain;
  }

  /// What a trip takes longer than the pairs in whose place it stands.
  double trip(size_t s, size_t e, double pair, int64_t places) const {
    const Hop &here = hops_[s], &there = hops_[e];
    return there.climb - there.gathers - here.climb + here.gathers + there.descend - here.descend +
           here.forward + here.backward - static_cast<double>(places) * pair;
  }

  ScheduleShape shape_;
  bool split_;
  double edge_;
  double largest_ = 0;  ///< forward and backward of the slowest stage
  int64_t units_, first_ = 0, last_ = 0;
  std::vector<Hop> hops_;
};

}  // namespace

double pipeline_recurrence(const PipelineInput& input) {
  const double bound = pipeline_lower_bound(input);
  switch (input.shape.kind) {
    case ScheduleKind::gpipe:
      return std::max(bound, Paths(input).gpipe());
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::interleaved:
    case ScheduleKind::zb_h1:
      return std::max(bound, Paths(input).one_f_one_b());
    case ScheduleKind::zb_v:
    case ScheduleKind::dualpipe:
      return bound;
  }
  return bound;
}

}  // namespace meshplan
