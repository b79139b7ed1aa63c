// SPDX-License-Identifier: Apache-2.0
#include "planner/scale/scale.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "costmodel/step/cost_model.hpp"

namespace meshplan {
namespace {

Result<ScaledPlan> scaled_plan(const SearchQuestion& question, const SearchResult& found,
                               const ScaleInputs& inputs, SearchMemory& memory) {
  ScaledPlan out;
  out.step = found.plans.front();
  out.finalists = found.finalists;
  MESHPLAN_TRY(const auto costs, memory.costs(question.cluster));
  MESHPLAN_TRY(out.communication,
               communication_of(*costs, question.model, question.trainer, out.step));
  out.power = power_of(out.step, question.cluster, inputs.power);
  const int64_t gpus = question.cluster.gpus();
  out.goodput =
      goodput_of(gpus, checkpoint_bytes(question.model, question.trainer, question.compute),
                 inputs.reliability);
  const double tokens = static_cast<double>(question.batch.global_sequences) *
                        static_cast<double>(question.batch.sequence);
  out.tokens_per_s = tokens / out.step.step_s;
  out.tokens_per_s_low = tokens / out.step.step_high_s;
  out.tokens_per_s_high = tokens / out.step.step_low_s;
  out.usd_per_hour = usd_per_hour(out.power, gpus, inputs.prices);
  const double all = inputs.tokens > 0 ? inputs.tokens
                                       : inputs.prices.tokens_per_parameter *
                                             static_cast<double>(parameters(question.model));
  const double factor = out.goodput.time_factor();
  out.train_ideal_s = all / out.tokens_per_s;
  out.train_s = out.train_ideal_s * factor;
  out.train_low_s = all / out.tokens_per_s_high * factor;
  out.train_high_s = all / out.tokens_per_s_low * factor;
  out.tokens_per_usd = out.tokens_per_s / factor * 3600 / out.usd_per_hour;
  out.train_usd = out.usd_per_hour * out.train_s / 3600;
  // GPUs that wait for a restart draw little; what checkpoints take and work that is done again
  // draws as steps do.
  const double down =
      out.goodput.interruption_every_s > 0
          ? std::min(1.0, inputs.reliability.restart_s /
                              (out.goodput.interruption_every_s + inputs.reliability.restart_s))
          : 0;
  const double host = out.power.per_gpu_w - out.power.gpu_w;
  const double mean_w =
      (out.power.gpu_w * (1 - down) + out.power.idle_gpu_w * down + host) * inputs.power.pue;
  out.train_kwh = mean_w * static_cast<double>(gpus) * out.train_s / 3.6e6;
  return out;
}

std::string reason(const SearchQuestion& question, const SearchResult& found) {
  if (!found.none) return "no plan";
  if (found.none->plan)
    return fmt::format("out of memory: {:.1f} of {:.1f} GiB a GPU needed at least",
                       static_cast<double>(found.none->needed_bytes) / 1073741824.0,
                       static_cast<double>(found.none->capacity_bytes) / 1073741824.0);
  if (!found.none->rule.empty()) return "rule " + found.none->rule;
  return fmt::format("no degrees multiply to {} GPUs and divide {} sequences",
                     question.cluster.gpus(), question.batch.global_sequences);
}

}  // namespace

const std::vector<Baseline>& baselines() {
  static const std::vector<Baseline> all = {
      {"fsdp"}, {"fsdp+tp2", 2}, {"fsdp+tp4", 4}, {"fsdp+tp8", 8}, {"fsdp+pp", 1, true}};
  return all;
}

SearchQuestion constrained(SearchQuestion question, const Baseline& baseline) {
  question.tp.values = {baseline.tp};
  question.cp.values = {1};
  question.ep.values = {1};
  question.etp.values = {1};
  question.zero.values = {3};
  question.pp = {};
  if (baseline.pipeline)
    question.pp.first = 2;
  else
    question.pp.values = {1};
  question.trainer.hybrid_shard = false;  // over all data-parallel ranks
  question.optimizer_offload = false;
  question.top_k = 1;
  return question;
}

bool ScalePoint::ties_with(size_t baseline) const {
  return best && baseline < baselines.size() && baselines[baseline] &&
         baselines[baseline]->step.step_s <= best->step.step_s * (1 + kTie);
}

Result<ScaleInputs> load_scale_inputs() {
  ScaleInputs out;
  MESHPLAN_TRY(out.power, load_power_shares());
  MESHPLAN_TRY(out.prices, load_prices());
  MESHPLAN_TRY(out.reliability, load_reliability());
  return out;
}

Result<ScalePoint> scale_point(SearchQuestion question, int64_t gpus, const ScaleInputs& inputs,
                               const std::vector<std::vector<Plan>>& seeds, SearchMemory& memory) {
  ScalePoint point;
  point.gpus = gpus;
  point.batch = question.batch;
  const double tokens =
      static_cast<double>(point.batch.global_sequences) * static_cast<double>(point.batch.sequence);
  point.above_critical_batch =
      inputs.critical_batch_tokens > 0 && tokens > inputs.critical_batch_tokens;
  auto cluster = with_gpus(question.cluster, gpus);
  if (!cluster.ok()) {
    point.why_none = cluster.error().message;
    if (!cluster.error().hint.empty()) point.why_none += ": " + cluster.error().hint;
    return point;
  }
  question.cluster = std::move(cluster).value();
  const auto seeds_of = [&](size_t i) { return i < seeds.size() ? seeds[i] : std::vector<Plan>(); };
  question.seeds = seeds_of(0);
  MESHPLAN_TRY(const SearchResult found, search(question, memory));
  if (found.plans.empty()) {
    point.why_none = reason(question, found);
  } else {
    MESHPLAN_TRY(point.best, scaled_plan(question, found, inputs, memory));
    point.ties = static_cast<int>(std::count(found.tie.begin(), found.tie.end(), true)) - 1;
  }
  if (!inputs.with_baselines) return point;
  for (size_t b = 0; b < baselines().size(); ++b) {
    SearchQuestion fixed = constrained(question, baselines()[b]);
    fixed.seeds = seeds_of(b + 1);
    MESHPLAN_TRY(const SearchResult one, search(fixed, memory));
    point.baselines.emplace_back();
    if (one.plans.empty()) continue;
    MESHPLAN_TRY(point.baselines.back(), scaled_plan(fixed, one, inputs, memory));
  }
  return point;
}

Result<ScaleCurve> scale(const ScaleQuestion& question, const ScaleInputs& inputs,
                         SearchMemory& memory) {
  ScaleCurve curve;
  curve.question = question;
  curve.tokens = inputs.tokens > 0 ? inputs.tokens
                                   : inputs.prices.tokens_per_parameter *
                                         static_cast<double>(parameters(question.search.model));
  std::vector<std::vector<Plan>> seeds(baselines().size() + 1);
  for (const int64_t gpus : question.gpus) {
    SearchQuestion at = question.search;
    if (question.scaling == Scaling::weak)
      at.batch.global_sequences = at.batch.global_sequences * gpus / question.gpus.front();
    MESHPLAN_TRY(ScalePoint point, scale_point(std::move(at), gpus, inputs, seeds, memory));
    if (point.best) seeds[0] = point.best->finalists;
    for (size_t b = 0; b < point.baselines.size(); ++b) {
      if (point.baselines[b]) seeds[b + 1] = point.baselines[b]->finalists;
    }
    curve.points.push_back(std::move(point));
  }
  derive(curve, inputs);
  return curve;
}

void derive(ScaleCurve& curve, const ScaleInputs& inputs) {
  const ScalePoint* before = nullptr;
  double most = 0;  // tokens/s per GPU of an earlier point
  for (size_t i = 0; i < curve.points.size(); ++i) {
    ScalePoint& point = curve.points[i];
    if (!curve.sequences_end && point.gpus > point.batch.global_sequences) curve.sequences_end = i;
    if (!point.baselines.empty()) {
      const bool beaten = point.best && (!point.baselines[0] || !point.ties_with(0));
      if (!beaten && point.best) curve.fsdp_ends.reset();
      if (beaten && !curve.fsdp_ends) curve.fsdp_ends = i;
    }
    if (!point.best) continue;
    const ScaledPlan& now = *point.best;
    if (before != nullptr) {
      const ScaledPlan& last = *before->best;
      const double tokens = now.tokens_per_s - last.tokens_per_s;
      const auto gpus = static_cast<double>(point.gpus - before->gpus);
      const double watts = now.power.facility_w * static_cast<double>(point.gpus) -
                           last.power.facility_w * static_cast<double>(before->gpus);
      const double usd_per_s = (now.usd_per_hour - last.usd_per_hour) / 3600;
      const double effective = now.tokens_per_s / now.goodput.time_factor() -
                               last.tokens_per_s / last.goodput.time_factor();
      Marginal marginal;
      marginal.tokens_per_s_per_gpu = tokens / gpus;
      marginal.share = marginal.tokens_per_s_per_gpu / most;
      marginal.tokens_per_joule = watts > 0 ? tokens / watts : 0;
      marginal.tokens_per_usd = usd_per_s > 0 ? effective / usd_per_s : 0;
      point.marginal = marginal;
      if (!curve.knee && marginal.share < inputs.knee_share) curve.knee = i;
    }
    most = std::max(most, now.tokens_per_s / static_cast<double>(point.gpus));
    before = &point;
  }
}

}  // namespace meshplan
