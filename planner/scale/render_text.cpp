// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "planner/report/estimate.hpp"
#include "planner/report/format.hpp"
#include "planner/report/plot.hpp"
#include "planner/report/table.hpp"
#include "planner/scale/render.hpp"

namespace meshplan::report {
namespace {

double exposed_share(const ScaledPlan& plan) {
  double sum = 0;
  for (const AxisTime& axis : plan.communication) sum += axis.exposed_s;
  return sum / plan.step.step_s;
}

std::string per_gpu(const ScaledPlan& plan, int64_t gpus) {
  const auto n = static_cast<double>(gpus);
  return fmt::format("{} ({} to {})", significant(plan.tokens_per_s / n),
                     significant(plan.tokens_per_s_low / n),
                     significant(plan.tokens_per_s_high / n));
}

std::string best_table(const ScaleCurve& curve) {
  Table table({{"GPUs", Align::right},
               {"step", Align::right},
               {"tokens/s per GPU", Align::right},
               {"next", Align::right},
               {"MFU", Align::right},
               {"exposed", Align::right},
               {"W/GPU", Align::right},
               {"tok/J", Align::right},
               {"plan", Align::left}});
  for (const ScalePoint& p : curve.points) {
    if (!p.best) {
      table.add({grouped(p.gpus), "-", "-", "", "", "", "", "", "no plan: " + p.why_none});
      continue;
    }
    const ScaledPlan& b = *p.best;
    table.add({grouped(p.gpus), seconds(b.step.step_s), per_gpu(b, p.gpus),
               p.marginal ? fmt::format("{:.0f} %", 100 * p.marginal->share) : "",
               percent(b.step.mfu), percent(exposed_share(b)), significant(b.power.facility_w),
               significant(b.power.tokens_per_joule),
               (p.ties > 0 ? "=" : "") + brief(b.step.plan)});
  }
  return table.text(0);
}

std::string money_table(const ScaleCurve& curve) {
  Table table({{"GPUs", Align::right},
               {"batch", Align::right},
               {"power", Align::right},
               {"effective", Align::right},
               {"saved every", Align::right},
               {"to train", Align::right},
               {"cost", Align::right},
               {"energy", Align::right},
               {"+tok/J", Align::right},
               {"+tok/USD", Align::right}});
  for (const ScalePoint& p : curve.points) {
    if (!p.best) continue;
    const ScaledPlan& b = *p.best;
    const double tokens =
        static_cast<double>(p.batch.global_sequences) * static_cast<double>(p.batch.sequence);
    table.add({grouped(p.gpus), count(tokens) + (p.above_critical_batch ? "!" : ""),
               watts(b.power.facility_w * static_cast<double>(p.gpus)),
               percent(b.goodput.effective_share), seconds(b.goodput.interval_s), days(b.train_s),
               count(b.train_usd) + " USD", energy(b.train_kwh),
               p.marginal ? significant(p.marginal->tokens_per_joule) : "",
               p.marginal ? count(p.marginal->tokens_per_usd) : ""});
  }
  return table.text(0);
}

std::string baseline_table(const ScaleCurve& curve) {
  if (curve.points.front().baselines.empty()) return "";
  std::vector<Table::Column> columns = {{"GPUs", Align::right}, {"best", Align::right}};
  for (const Baseline& b : baselines()) columns.push_back({b.name, Align::right});
  Table table(std::move(columns));
  for (const ScalePoint& p : curve.points) {
    std::vector<std::string> cells = {grouped(p.gpus)};
    const auto cell = [&](const std::optional<ScaledPlan>& plan, bool tie) {
      cells.push_back(plan ? (tie ? "=" : "") +
                                 significant(plan->tokens_per_s / static_cast<double>(p.gpus))
                           : "-");
    };
    cell(p.best, false);
    for (size_t b = 0; b < p.baselines.size(); ++b) cell(p.baselines[b], p.ties_with(b));
    table.add(std::move(cells));
  }
  return "tokens/s per GPU of fixed ways to train; = ties with the best, - no plan\n" +
         table.text(0);
}

std::string curve_plot(const ScaleCurve& curve) {
  constexpr const char* kMarks = "f248p";
  std::vector<PlotLine> lines;
  for (size_t b = 0; b < curve.points.front().baselines.size(); ++b) {
    PlotLine line{kMarks[b], baselines()[b].name, {}};
    for (const ScalePoint& p : curve.points)
      if (p.baselines[b])
        line.points.emplace_back(p.gpus,
                                 p.baselines[b]->tokens_per_s / static_cast<double>(p.gpus));
    lines.push_back(std::move(line));
  }
  PlotLine best{'*', "best plan", {}};
  for (const ScalePoint& p : curve.points)
    if (p.best)
      best.points.emplace_back(p.gpus, p.best->tokens_per_s / static_cast<double>(p.gpus));
  lines.push_back(std::move(best));
  return plot("tokens/s per GPU over GPUs", lines);
}

std::string all_curves_plot(const ScaleReport& report) {
  std::vector<PlotLine> lines;
  for (size_t c = 0; c < report.curves.size(); ++c) {
    PlotLine line{static_cast<char>('a' + c % 26), report.curves[c].question.label, {}};
    for (const ScalePoint& p : report.curves[c].points)
      if (p.best) line.points.emplace_back(p.gpus, p.best->step.mfu * 100);
    lines.push_back(std::move(line));
  }
  return plot("MFU in percent over GPUs", lines);
}

std::string bullets(const char* title, const std::vector<std::string>& lines) {
  std::string out = lines.empty() ? "" : std::string(title) + '\n';
  for (const auto& line : lines) out += "  - " + wrapped(line, 4) + '\n';
  return out;
}

}  // namespace

std::string watts(double w) {
  if (w < 1e6) return significant(w / 1e3) + " kW";
  return significant(w / 1e6) + " MW";
}

std::string energy(double kwh) {
  if (kwh < 1e4) return significant(kwh) + " kWh";
  return kwh < 1e6 ? significant(kwh / 1e3) + " MWh" : significant(kwh / 1e6) + " GWh";
}

std::string days(double s) {
  if (s < 2 * 86'400) return seconds(s);
  return s < 800.0 * 86'400 ? significant(s / 86'400) + " days"
                            : significant(s / 86'400 / 365.25) + " years";
}

std::vector<std::string> findings(const ScaleCurve& curve, const ScaleInputs& inputs) {
  std::vector<std::string> out;
  const auto at = [&](size_t i) { return grouped(curve.points[i].gpus); };
  if (curve.knee) {
    const ScalePoint& p = curve.points[*curve.knee];
    out.push_back(
        fmt::format("knee at {} GPUs: a GPU of the last step up adds {} of what one did at best "
                    "before (limit {})",
                    at(*curve.knee), percent(p.marginal->share), percent(inputs.knee_share)));
  } else {
    out.push_back(
        fmt::format("no knee: every new GPU adds at least {} of what one did at best "
                    "before",
                    percent(inputs.knee_share)));
  }
  if (curve.fsdp_ends) {
    const ScalePoint& p = curve.points[*curve.fsdp_ends];
    out.push_back(fmt::format(
        "from {} GPUs on pure FSDP is {}; the best there is {}", at(*curve.fsdp_ends),
        p.baselines[0] ? "slower than the best plan" : "without a plan", brief(p.best->step.plan)));
  } else if (!curve.points.front().baselines.empty()) {
    out.emplace_back("pure FSDP ties with the best plan at the largest number of GPUs");
  }
  if (curve.question.scaling == Scaling::strong) {
    const int64_t sequences = curve.question.search.batch.global_sequences;
    if (curve.sequences_end)
      out.push_back(fmt::format(
          "the batch of {} stays and cannot be cut further by data parallelism alone: from {} GPUs "
          "on there are more GPUs than sequences",
          plural(sequences, "sequence"), at(*curve.sequences_end)));
    else
      out.push_back(fmt::format("the batch of {} stays", plural(sequences, "sequence")));
  } else {
    const ScalePoint &first = curve.points.front(), &last = curve.points.back();
    out.push_back(fmt::format("the batch grows with the GPUs, from {} to {} of {} tokens",
                              plural(first.batch.global_sequences, "sequence"),
                              plural(last.batch.global_sequences, "sequence"),
                              grouped(first.batch.sequence)));
  }
  for (const ScalePoint& p : curve.points) {
    if (!p.above_critical_batch) continue;
    out.push_back(
        fmt::format("warning: from {} GPUs on (!) the batch is above the critical {} tokens: more "
                    "tokens will be "
                    "needed than are reckoned with here",
                    grouped(p.gpus), count(inputs.critical_batch_tokens)));
    break;
  }
  return out;
}

std::vector<std::string> assumptions(const ScaleInputs& in) {
  std::vector<std::string> out;
  out.push_back(fmt::format("{} USD a GPU-hour, {} USD a kWh, PUE {}",
                            significant(in.prices.usd_per_gpu_hour),
                            significant(in.prices.usd_per_kwh), significant(in.power.pue)));
  out.push_back(fmt::format(
      "interrupted {} times per million GPU-hours; restart {}, storage {} TB/s, spread of ranks {}",
      significant(in.reliability.interruptions_per_gpu_hour * 1e6),
      seconds(in.reliability.restart_s), significant(in.reliability.storage_bytes_per_s / 1e12),
      percent(in.reliability.straggler_sigma)));
  for (const auto* list :
       {&in.power.source, &in.power.assumed, &in.prices.source, &in.reliability.source})
    out.insert(out.end(), list->begin(), list->end());
  return out;
}

std::string to_text(const ScaleReport& report) {
  std::string out;
  for (const ScaleCurve& curve : report.curves) {
    const SearchQuestion& q = curve.question.search;
    const auto paragraph = [&out](const std::string& text) { out += wrapped(text, 0) + "\n\n"; };
    paragraph(fmt::format(
        "{}: {} scaling, {} parameters, sequences of {}, trainer {}, {}, trained on {} tokens",
        curve.question.label, curve.question.scaling == Scaling::weak ? "weak" : "strong",
        count(static_cast<double>(parameters(q.model))), grouped(q.batch.sequence), q.trainer.id,
        name_of(q.compute), count(curve.tokens)));
    out += best_table(curve);
    paragraph(
        "next: what a GPU of this row adds that the row above lacks, over the best average before; "
        "= before a plan: others tie with it");
    out += money_table(curve);
    paragraph(
        "batch in tokens; saved every: optimal interval of checkpoints; +: of the GPUs that the "
        "row "
        "above lacks");
    const std::string fixed = baseline_table(curve);
    if (!fixed.empty()) out += fixed + '\n';
    if (report.curves.size() == 1) out += curve_plot(curve) + '\n';
    out += bullets("findings", findings(curve, report.inputs)) + '\n';
  }
  if (report.curves.size() > 1) out += all_curves_plot(report) + '\n';
  if (!report.defaults.empty())
    out += "not stated: " + wrapped(fmt::format("{}", fmt::join(report.defaults, "; ")), 12) + '\n';
  return out + bullets("assumed", assumptions(report.inputs));
}

std::string to_text(const SizeAnswer& a, const ScaleInputs& inputs) {
  std::string out =
      fmt::format("{} on {} tokens in {} with {}\n", a.question.search.model.id, count(a.tokens),
                  days(a.question.days * 86'400), a.question.search.cluster.gpu.name);
  if (a.chosen) {
    const ScalePoint& p = a.tried[*a.chosen];
    out += fmt::format("needs {}: {} ({} to {}), {} USD, {}\n", plural(p.gpus, "GPU"),
                       days(p.best->train_s), days(p.best->train_low_s), days(p.best->train_high_s),
                       count(p.best->train_usd), energy(p.best->train_kwh));
    out += "plan  " + brief(p.best->step.plan) + '\n';
    if (a.safe && *a.safe == *a.chosen)
      out += "meets it also at the slow end of the error band\n";
    else if (a.safe)
      out += fmt::format("{} GPUs also meet it at the slow end of the error band\n",
                         grouped(a.tried[*a.safe].gpus));
    else
      out += "no number of GPUs meets it at the slow end of the error band\n";
  } else {
    out += fmt::format("no number of GPUs up to {} is enough\n", grouped(a.question.most_gpus));
  }
  Table table({{"", Align::left},
               {"GPUs", Align::right},
               {"time to train", Align::right},
               {"slow end", Align::right},
               {"effective", Align::right},
               {"cost", Align::right},
               {"plan", Align::left}});
  for (size_t i = 0; i < a.tried.size(); ++i) {
    const ScalePoint& p = a.tried[i];
    if (!p.best) {
      table.add({"", grouped(p.gpus), "-", "-", "", "", "no plan: " + p.why_none});
      continue;
    }
    table.add({a.chosen == i ? ">" : "", grouped(p.gpus), days(p.best->train_s),
               days(p.best->train_high_s), percent(p.best->goodput.effective_share),
               count(p.best->train_usd) + " USD", brief(p.best->step.plan)});
  }
  return out + '\n' + table.text(0) + '\n' + bullets("assumed", assumptions(inputs));
}

}  // namespace meshplan::report
