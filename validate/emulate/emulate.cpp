// SPDX-License-Identifier: Apache-2.0
#include "validate/emulate/emulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "profiler/comm/gpu_world.hpp"
#include "validate/emulate/predict.hpp"
#include "validate/execute/cpu_device.hpp"
#include "validate/execute/expected_memory.hpp"

namespace meshplan {
namespace {

// NCCL's usual number of channels inside a node, and of a message.
constexpr int kCollectiveBlocks = 16, kMessageBlocks = 4;

int64_t sent_bytes(const Request& request) {
  return std::accumulate(request.send_bytes.begin(), request.send_bytes.end(), int64_t{0});
}

/// What the other ranks would do to this rank's buffers and to its time.
class Others {
 public:
  Others(const CostModel& costs, const PlanLinks& links) : costs_(costs), links_(links) {}
  void use(Device* device) { device_ = device; }
  void take_time(bool takes) { takes_time_ = takes; }
  /// Something like activations (deviation 1) for receivers to work on: zeros draw less power.
  Status make_noise(int64_t bytes) {
    if (bytes == 0) return Done{};
    MESHPLAN_TRY(noise_, device_->reserve(bytes));
    std::vector<float> values(static_cast<size_t>(bytes / 4));
    for (size_t i = 0; i < values.size(); ++i) values[i] = random_normal(1, i);
    if (type_ == DType::fp32) return put(*device_, values, {noise_, type_});
    std::vector<float> twice(values);
    twice.insert(twice.end(), values.begin(), values.end());
    return put(*device_, twice, {noise_, type_});
  }
  void set_type(DType type) { type_ = type; }

  Status stand_in(const LoneCall& call) {
    const double seconds = predict_call(call, costs_, links_);
    if (device_ == nullptr) return Done{};
    MESHPLAN_CHECK(fill(call));
    if (!takes_time_) return Done{};
    const bool message = call.request.transfer == Transfer::receive;
    ModelledCalls& sum = calls_[{call.label, call.request.transfer}];
    sum.group = call.label;
    sum.transfer = call.request.transfer;
    ++sum.calls;
    sum.bytes += call.request.bytes + sent_bytes(call.request);
    sum.seconds += seconds;
    return device_->occupy(message ? kMessageBlocks : kCollectiveBlocks, seconds);
  }
  std::vector<ModelledCalls> calls(int64_t steps) const {
    std::vector<ModelledCalls> out;
    for (const auto& [key, sum] : calls_) {
      ModelledCalls one = sum;
      one.calls /= steps;
      one.bytes /= steps;
      one.seconds /= static_cast<double>(steps);
      out.push_back(one);
    }
    return out;
  }

 private:
  /// Values of the right size: this rank's own for those of the others.
  Status fill(const LoneCall& call) {
    const Request& r = call.request;
    const auto* from = static_cast<std::byte*>(const_cast<void*>(r.send));
    auto* to = static_cast<std::byte*>(r.receive);
    const auto copy = [&](const std::byte* x, std::byte* y) {
      return device_->convert(r.bytes, {const_cast<std::byte*>(x), DType::uint8},
                              {y, DType::uint8});
    };
    switch (r.transfer) {
      case Transfer::all_to_all:
        if (!r.send_bytes.empty()) {  // pieces of a product: as many come as go
          return device_->convert(sent_bytes(r), {const_cast<std::byte*>(from), DType::uint8},
                                  {to, DType::uint8});
        }
        [[fallthrough]];
      case Transfer::all_gather:
        for (int i = 0; i < call.size; ++i) {
          const std::byte* part = r.transfer == Transfer::all_to_all ? from + i * r.bytes : from;
          if (part != to + i * r.bytes) MESHPLAN_CHECK(copy(part, to + i * r.bytes));
        }
        return Done{};
      case Transfer::reduce_scatter:
        return copy(from + call.rank * r.bytes, to);
      case Transfer::ring_exchange:
        return copy(from, to);
      case Transfer::receive:
        return copy(noise_, to);
      case Transfer::all_reduce:
      case Transfer::broadcast:
      case Transfer::barrier:
      case Transfer::send:
        return Done{};
    }
    return Done{};
  }

  const CostModel& costs_;
  const PlanLinks& links_;
  Device* device_ = nullptr;
  bool takes_time_ = false;
  std::byte* noise_ = nullptr;
  DType type_ = DType::fp32;
  std::map<std::pair<std::string, Transfer>, ModelledCalls> calls_;
};

Result<int> rank_at(const Program& program, const RankChoice& choice) {
  for (int rank = 0; rank < program.plan.world(); ++rank) {
    MESHPLAN_TRY(const RankPlace place,
                 place_of_rank(program.plan, program.trainer.rank_order, rank));
    if (place.stage == choice.stage && place.tp == choice.tp && place.cp == choice.cp &&
        place.data == choice.data && (choice.ep == 0 || place.ep == choice.ep)) {
      return rank;
    }
  }
  return Diagnostic{.kind = ErrorKind::usage,
                    .message = "the plan has no such rank: " + to_text(program.plan),
                    .where = "--emulate-rank",
                    .value = fmt::format("stage={},tp={},cp={},ep={},data={}", choice.stage,
                                         choice.tp, choice.cp, choice.ep, choice.data)};
}

double median(std::vector<StepResult> steps) {
  if (steps.size() > 1) steps.erase(steps.begin());  // libraries choose their kernels
  std::sort(steps.begin(), steps.end(),
            [](const StepResult& a, const StepResult& b) { return a.seconds < b.seconds; });
  return steps.empty() ? 0 : steps[steps.size() / 2].seconds;
}

}  // namespace

namespace {

/// The executable of one rank, and what prices it.
struct Lone {
  Executable executable;
  std::shared_ptr<const CostModel> costs;
  PlanLinks links;
  RankPrediction prediction;
};

Result<Lone> lone_of(const EmulateQuestion& question) {
  MESHPLAN_TRY(Executable executable, make_executable(question.run, RanksHere::one));
  executable.question.profile.reset();  // it may know one rank alone: no step of all is predicted
  const Program& program = executable.program;
  MESHPLAN_TRY(const Constants constants, load_constants());
  MESHPLAN_TRY(std::shared_ptr<const CostModel> costs,
               CostModel::load(question.cluster, constants));
  MESHPLAN_TRY(const PlanLinks links, costs->links(program.plan, program.trainer));
  RankPrediction out{.plan = to_text(program.plan)};
  MESHPLAN_TRY(out.rank, rank_at(program, question.rank));
  MESHPLAN_TRY(out.place, place_of_rank(program.plan, program.trainer.rank_order, out.rank));
  MESHPLAN_TRY(out.compute_s,
               predict_compute(program, question.rank.stage, question.run.profile, *costs, links));
  out.compute_from = question.run.profile ? "profile of " + question.run.profile->processor
                                          : "tables of " + question.cluster.gpu.name;
  MESHPLAN_TRY(const ExpectedMemory memory, expected_memory(program, out.place));
  out.peak_bytes = memory.peak;
  return Lone{std::move(executable), std::move(costs), links, std::move(out)};
}

}  // namespace

Result<RankPrediction> predict_rank(const EmulateQuestion& question) {
  MESHPLAN_TRY(const Lone lone, lone_of(question));
  return lone.prediction;
}

Result<EmulateAnswer> emulate_rank(const EmulateQuestion& question) {
  MESHPLAN_TRY(const Lone lone, lone_of(question));
  const Executable& executable = lone.executable;
  const Program& program = executable.program;
  const RunOptions& options = executable.question.options;
  const std::shared_ptr<const CostModel>& costs = lone.costs;
  const PlanLinks& links = lone.links;
  EmulateAnswer answer;
  answer.predicted = lone.prediction;

  // a world of one underneath: the GPU's streams belong to it
  LoneWorld alone(0, 1, nullptr);
  MESHPLAN_TRY(RankSeat seat, seat_of(alone, question.run.gpu));
  if (seat.device == nullptr) seat.device = std::make_unique<CpuDevice>(options.workers);
  Others others(*costs, links);
  others.use(seat.device.get());
  others.set_type(program.plan.compute == DType::fp32 ? DType::fp32 : DType::bf16);
  MESHPLAN_CHECK(others.make_noise(program.boundary_bytes));
  LoneWorld world(answer.predicted.rank, static_cast<int>(program.plan.world()),
                  [&](const LoneCall& call) { return others.stand_in(call); });
  const RandomTokens tokens(program.model.vocabulary, options.initial.seed);
  MESHPLAN_TRY(const std::unique_ptr<RankRun> run,
               RankRun::make(world, program, options, tokens, nullptr, std::move(seat.device)));
  std::vector<StepResult> alone_steps, timed;
  for (int64_t i = 0; i < options.steps; ++i) {
    MESHPLAN_TRY(const StepResult step, run->step());
    alone_steps.push_back(step);
  }
  answer.measured_compute_s = median(alone_steps);
  const RankReport report = run->report(world);
  others.take_time(true);
  for (int64_t i = 0; i < options.steps; ++i) {
    MESHPLAN_TRY(const StepResult step, run->step());
    timed.push_back(step);
  }
  if (question.run.gpu) answer.measured_with_stand_ins_s = median(timed);
  answer.calls = others.calls(options.steps);
  for (const ModelledCalls& call : answer.calls) answer.modelled_communication_s += call.seconds;
  MESHPLAN_TRY(answer.run, answer_of(executable, std::move(alone_steps), {report}));
  return answer;
}

}  // namespace meshplan
