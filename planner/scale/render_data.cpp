// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "planner/report/estimate.hpp"
#include "planner/scale/render.hpp"

namespace meshplan::report {
namespace {

Json plan_json(const ScaledPlan& p, int64_t gpus, const Question& question) {
  Json axes = Json::object();
  for (const AxisTime& axis : p.communication)
    axes[axis.axis] = {{"exposed_s", axis.exposed_s}, {"hidden_s", axis.hidden_s}};
  const auto n = static_cast<double>(gpus);
  return {{"plan", to_json(p.step, question)},
          {"tokens_per_s", p.tokens_per_s},
          {"tokens_per_s_low", p.tokens_per_s_low},
          {"tokens_per_s_high", p.tokens_per_s_high},
          {"communication", std::move(axes)},
          {"power",
           {{"gpu_w", p.power.gpu_w},
            {"per_gpu_w", p.power.facility_w},
            {"total_w", p.power.facility_w * n},
            {"tokens_per_joule", p.power.tokens_per_joule}}},
          {"money", {{"usd_per_hour", p.usd_per_hour}, {"tokens_per_usd", p.tokens_per_usd}}},
          {"goodput",
           {{"interruption_every_s", p.goodput.interruption_every_s},
            {"checkpoint_bytes", p.goodput.checkpoint_bytes},
            {"checkpoint_s", p.goodput.checkpoint_s},
            {"interval_s", p.goodput.interval_s},
            {"effective_ratio", p.goodput.effective_share},
            {"straggler_ratio", p.goodput.straggler_factor}}},
          {"training",
           {{"ideal_s", p.train_ideal_s},
            {"time_s", p.train_s},
            {"time_low_s", p.train_low_s},
            {"time_high_s", p.train_high_s},
            {"usd", p.train_usd},
            {"kwh", p.train_kwh}}}};
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

}  // namespace

Json point_json(const ScalePoint& p, const SearchQuestion& asked) {
  const Question question{asked.model, asked.cluster, p.batch, asked.trainer, asked.compute};
  Json out = {{"gpus", p.gpus},
              {"global_batch_sequences", p.batch.global_sequences},
              {"above_critical_batch", p.above_critical_batch},
              {"best", p.best ? plan_json(*p.best, p.gpus, question) : Json(nullptr)},
              {"why_none", p.why_none},
              {"ties", p.ties}};
  out["marginal"] = nullptr;
  if (p.marginal)
    out["marginal"] = {{"share", p.marginal->share},
                       {"tokens_per_s_per_gpu", p.marginal->tokens_per_s_per_gpu},
                       {"tokens_per_joule", p.marginal->tokens_per_joule},
                       {"tokens_per_usd", p.marginal->tokens_per_usd}};
  Json fixed = Json::object();
  for (size_t b = 0; b < p.baselines.size(); ++b) {
    Json one = nullptr;
    if (p.baselines[b]) {
      one = plan_json(*p.baselines[b], p.gpus, question);
      one["tie"] = p.ties_with(b);
    }
    fixed[baselines()[b].name] = std::move(one);
  }
  out["baselines"] = std::move(fixed);
  return out;
}

Json inputs_json(const ScaleInputs& in) {
  return {{"usd_per_gpu_hour", in.prices.usd_per_gpu_hour},
          {"usd_per_kwh", in.prices.usd_per_kwh},
          {"pue", in.power.pue},
          {"interruptions_per_gpu_hour", in.reliability.interruptions_per_gpu_hour},
          {"restart_s", in.reliability.restart_s},
          {"storage_bytes_per_s", in.reliability.storage_bytes_per_s},
          {"straggler_sigma_ratio", in.reliability.straggler_sigma},
          {"knee_ratio", in.knee_share},
          {"critical_batch_tokens", in.critical_batch_tokens},
          {"assumed", assumptions(in)}};
}

Json to_json(const ScaleReport& report, const Question& question) {
  Json curves = Json::array();
  for (const ScaleCurve& curve : report.curves) {
    const SearchQuestion& q = curve.question.search;
    Json points = Json::array();
    for (const ScalePoint& point : curve.points) points.push_back(point_json(point, q));
    const auto gpus = [&](const std::optional<size_t>& i) {
      return i ? Json(curve.points[*i].gpus) : Json(nullptr);
    };
    curves.push_back({{"label", curve.question.label},
                      {"model", q.model.id},
                      {"gpu", q.cluster.gpu.id},
                      {"sequence_tokens", q.batch.sequence},
                      {"scaling", curve.question.scaling == Scaling::weak ? "weak" : "strong"},
                      {"tokens", curve.tokens},
                      {"knee_gpus", gpus(curve.knee)},
                      {"fsdp_ends_gpus", gpus(curve.fsdp_ends)},
                      {"sequences_end_gpus", gpus(curve.sequences_end)},
                      {"findings", findings(curve, report.inputs)},
                      {"points", std::move(points)}});
  }
  Json inputs = to_json(question);
  inputs["scale"] = inputs_json(report.inputs);
  inputs["command"] = report.command;
  inputs["defaults"] = report.defaults;
  return {{"schema", "meshplan.scale/1"},
          {"run", {{"search_s", report.seconds}, {"threads", report.threads}}},
          {"inputs", std::move(inputs)},
          {"provenance", provenance_of(question)},
          {"curves", std::move(curves)}};
}

std::string to_csv(const ScaleReport& report) {
  std::string out =
      "curve,gpus,way,plan,global_batch_sequences,step_s,step_low_s,step_high_s,tokens_per_s,mfu,"
      "exposed_s,hidden_s,gpu_w,per_gpu_w,tokens_per_joule,usd_per_hour,effective_ratio,train_s,"
      "train_usd,train_kwh,marginal_share,tie,why_none\n";
  for (const ScaleCurve& curve : report.curves) {
    for (const ScalePoint& point : curve.points) {
      const auto line = [&](const std::string& way, const std::optional<ScaledPlan>& plan,
                            bool best, bool tie) {
        out += fmt::format("{},{},{},", quoted(curve.question.label), point.gpus, way);
        if (!plan) {
          out += fmt::format(",{}{}{}\n", point.batch.global_sequences, std::string(18, ','),
                             quoted(best ? point.why_none : "no plan"));
          return;
        }
        double exposed = 0, hidden = 0;
        for (const AxisTime& axis : plan->communication) {
          exposed += axis.exposed_s;
          hidden += axis.hidden_s;
        }
        const StepEstimate& s = plan->step;
        out += fmt::format(
            "{},{},{:.9g},{:.9g},{:.9g},{:.9g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.9g},"
            "{:.6g},{:.9g},{:.9g},{:.9g},{},{},\n",
            quoted(to_text(s.plan)), point.batch.global_sequences, s.step_s, s.step_low_s,
            s.step_high_s, plan->tokens_per_s, s.mfu, exposed, hidden, plan->power.gpu_w,
            plan->power.facility_w, plan->power.tokens_per_joule, plan->usd_per_hour,
            plan->goodput.effective_share, plan->train_s, plan->train_usd, plan->train_kwh,
            best && point.marginal ? fmt::format("{:.6g}", point.marginal->share) : "",
            tie ? "yes" : "no");
      };
      line("best", point.best, true, point.ties > 0);
      for (size_t b = 0; b < point.baselines.size(); ++b)
        line(baselines()[b].name, point.baselines[b], false, point.ties_with(b));
    }
  }
  return out;
}

Json to_json(const SizeAnswer& a, const ScaleInputs& inputs, const Question& question) {
  Json tried = Json::array();
  for (const ScalePoint& point : a.tried) tried.push_back(point_json(point, a.question.search));
  const auto gpus = [&](const std::optional<size_t>& i) {
    return i ? Json(a.tried[*i].gpus) : Json(nullptr);
  };
  Json in = to_json(question);
  in["days"] = a.question.days;
  in["tokens"] = a.tokens;
  in["scale"] = inputs_json(inputs);
  return {{"schema", "meshplan.size/1"},           {"inputs", std::move(in)},
          {"provenance", provenance_of(question)}, {"gpus", gpus(a.chosen)},
          {"gpus_at_slow_end", gpus(a.safe)},      {"tried", std::move(tried)}};
}

}  // namespace meshplan::report
