// SPDX-License-Identifier: Apache-2.0
#include "validate/published/series.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <regex>

#include "topologies/base/files.hpp"
#include "topologies/base/reader.hpp"
#include "validate/published/mapping.hpp"

namespace meshplan {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kNoise = 0.02;  ///< repeated runs of the same configuration differ by this much

const std::vector<std::string> kMeasures = {"step", "tokens", "tflops", "memory"};
const std::vector<std::string> kOrders = {"id", "gpus", "tp", "seq_len"};

struct Definition {
  std::string group, what, factor, by, measure;
  std::regex pattern;
};

Result<std::regex> pattern_of(MapReader& entry) {
  const std::string text = entry.text("pattern");
  try {
    return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    entry.problem("pattern", error.what());
    return std::regex();
  }
}

double flops_per_step(const Case& c, FlopsConvention convention) {
  const Question& q = *c.question;
  return model_flops_per_token(q.model, q.batch.sequence, convention) *
         static_cast<double>(q.batch.sequence * q.batch.global_sequences);
}

std::optional<double> measured_in(const Case& c, const std::string& measure) {
  if (measure == "step") return measured_step_s(c);
  if (measure == "tokens") return c.measured.tokens_per_s_per_gpu;
  if (measure == "memory") return c.measured.peak_memory_bytes;
  return c.measured.tflops_per_gpu;
}

double predicted_in(const Case& c, const StepEstimate& estimate, const std::string& measure) {
  if (measure == "step") return estimate.step_s;
  if (measure == "tokens") return estimate.tokens_per_s_per_gpu;
  if (measure == "memory") return static_cast<double>(estimate.peak_memory_bytes);
  return flops_per_step(c, convention_of(c.flops_convention)) / estimate.step_s / 1e12 /
         static_cast<double>(c.gpus);
}

double order_value(const Case& c, const std::string& by) {
  if (by == "gpus") return static_cast<double>(c.gpus);
  if (by == "seq_len") return static_cast<double>(c.question->batch.sequence);
  if (by == "tp") return c.question->levels.front().front().tp;
  return 0;  // the table's order
}

std::string order_label(const Case& c, const std::string& by) {
  return by == "id" ? c.id : fmt::format("{:.0f}", order_value(c, by));
}

void finish(SeriesResult& out) {
  if (out.points.size() < 2) return;
  const SeriesPoint& first = out.points.front();
  const SeriesPoint& last = out.points.back();
  out.measured_change = last.measured / first.measured - 1;
  out.predicted_change = last.predicted / first.predicted - 1;
  for (const SeriesPoint& point : out.points) {
    const double ratio =
        (point.predicted / first.predicted) / (point.measured / first.measured) - 1;
    out.worst = std::max(out.worst, std::abs(ratio));
  }
  // Changes within the noise have no sign: it is enough that both stay there.
  out.same_sign =
      out.measured_change * out.predicted_change > 0 ||
      (std::abs(out.measured_change) < kNoise && std::abs(out.predicted_change) < kNoise);
}

SeriesResult run(const Definition& definition, const std::vector<SeriesRow>& rows) {
  SeriesResult out{definition.group, definition.what, definition.factor, definition.measure};
  std::vector<SeriesRow> members;
  for (const SeriesRow& row : rows) {
    if (!std::regex_match(row.question->id, definition.pattern)) continue;
    if (row.estimate == nullptr || !row.question->question ||
        row.question->measured.out_of_memory || !measured_in(*row.question, definition.measure)) {
      ++out.missing;
      continue;
    }
    members.push_back(row);
  }
  std::stable_sort(members.begin(), members.end(), [&](const SeriesRow& a, const SeriesRow& b) {
    return order_value(*a.question, definition.by) < order_value(*b.question, definition.by);
  });
  for (const SeriesRow& row : members) {
    out.points.push_back({row.question->id, order_label(*row.question, definition.by),
                          *measured_in(*row.question, definition.measure),
                          predicted_in(*row.question, *row.estimate, definition.measure)});
  }
  finish(out);
  return out;
}

Result<SubsetResult> run_subset(MapReader& entry, const std::vector<SeriesRow>& rows) {
  SubsetResult out;
  out.name = entry.text("name");
  out.statistic = entry.choice("statistic", {"mean", "worst"});
  out.limit = entry.positive("limit_ratio");
  const int64_t most = entry.integer("largest_gpus", std::numeric_limits<int64_t>::max());
  const int64_t least = entry.integer("smallest_gpus", 1);
  MESHPLAN_TRY(const std::regex pattern, pattern_of(entry));
  MESHPLAN_CHECK(entry.finish());
  double sum = 0, signs = 0, worst = 0;
  for (const SeriesRow& row : rows) {
    const Case& c = *row.question;
    if (!std::regex_match(c.id, pattern) || c.gpus > most || c.gpus < least) continue;
    const auto measured = measured_step_s(c);
    if (!measured || c.measured.out_of_memory) continue;
    const double error = row.estimate != nullptr ? row.estimate->step_s / *measured - 1 : 1.0;
    ++out.rows;
    sum += std::abs(error);
    signs += row.estimate != nullptr ? error : 0;
    worst = std::max(worst, std::abs(error));
  }
  out.value = out.rows == 0 ? kNone : out.statistic == "mean" ? sum / out.rows : worst;
  out.signed_mean = out.rows == 0 ? kNone : signs / out.rows;
  out.ok = out.rows > 0 && out.value <= out.limit;
  return out;
}

}  // namespace

FlopsConvention convention_of(const std::string& words) {
  const std::string text = lower_case(words);
  const auto says = [&](const char* word) { return text.find(word) != std::string::npos; };
  if (says("factor 4") || says("sc21 formula") || says("incl. full recompute") ||
      says("with recompute"))
    return FlopsConvention::with_recompute;
  if (says("no attention") || says("attention ignored")) return FlopsConvention::parameters_only;
  if (says("both embeddings")) return FlopsConvention::all_parameters;
  if (says("causal") && !says("no causal") && !says("non-causal")) return FlopsConvention::causal;
  return FlopsConvention::full_square;
}

std::optional<double> measured_step_s(const Case& c) {
  if (c.measured.step_s) return c.measured.step_s;
  if (!c.question) return std::nullopt;
  const auto gpus = static_cast<double>(c.gpus);
  const Batch& batch = c.question->batch;
  if (c.measured.tokens_per_s_per_gpu)
    return static_cast<double>(batch.sequence * batch.global_sequences) /
           (*c.measured.tokens_per_s_per_gpu * gpus);
  if (c.measured.tflops_per_gpu)
    return flops_per_step(c, convention_of(c.flops_convention)) /
           (*c.measured.tflops_per_gpu * 1e12 * gpus);
  return std::nullopt;
}

Status run_series(const std::vector<SeriesRow>& rows, std::vector<SeriesResult>& series,
                  std::vector<SubsetResult>& subsets) {
  return run_series(data_root() + "/validate/published/series.yaml", rows, series, subsets);
}

Status run_series(const std::string& path, const std::vector<SeriesRow>& rows,
                  std::vector<SeriesResult>& series, std::vector<SubsetResult>& subsets) {
  MESHPLAN_TRY(MapReader file, MapReader::open(path));
  file.text("source");
  for (MapReader& entry : file.maps("series")) {
    Definition next;
    next.group = entry.text("group");
    next.what = entry.text("what");
    next.factor = entry.text("factor");
    next.by = entry.choice("by", kOrders);
    next.measure = entry.choice("measure", kMeasures);
    MESHPLAN_TRY(next.pattern, pattern_of(entry));
    MESHPLAN_CHECK(entry.finish());
    SeriesResult result = run(next, rows);
    if (!result.points.empty() || result.missing > 0) series.push_back(std::move(result));
  }
  for (MapReader& entry : file.maps("subsets")) {
    MESHPLAN_TRY(SubsetResult result, run_subset(entry, rows));
    if (result.rows > 0) subsets.push_back(std::move(result));
  }
  return file.finish();
}

}  // namespace meshplan
