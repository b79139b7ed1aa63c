// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/unit/catch.hpp"
#include "topologies/base/files.hpp"
#include "validate/published/report.hpp"

using namespace meshplan;

namespace {

Case on(const std::string& id, int64_t gpus, double step_s) {
  Case c;
  c.id = id;
  c.source = c.family = "S";
  c.tier = "gold";
  c.gpus = gpus;
  c.measured.step_s = step_s;
  Question q;
  q.model.layers = 2;
  q.model.hidden = 256;
  q.model.heads = q.model.kv_heads = 2;
  q.model.head_dim = 128;
  q.model.intermediate = 1024;
  q.model.vocabulary = 1000;
  q.batch = {1024, 8};
  Plan plan;
  plan.dp_replicate = static_cast<int>(gpus);
  q.levels = {{plan}};
  c.question = std::move(q);
  return c;
}

StepEstimate predicted(double step_s) {
  StepEstimate e;
  e.step_s = step_s;
  return e;
}

const char* kDefinitions = R"(
source: test
series:
  - {group: A, what: w, factor: GPUs, pattern: 'r-\d', by: gpus, measure: step}
subsets:
  - {name: small, pattern: 'r-.*', largest_gpus: 16, statistic: mean, limit_ratio: 0.2}
  - {name: all, pattern: 'r-.*', statistic: worst, limit_ratio: 0.2}
)";

std::string definitions_file() {
  const std::string path =
      (std::filesystem::temp_directory_path() / "meshplan_published_series_test.yaml").string();
  REQUIRE(write_file(path, kDefinitions).ok());
  return path;
}

}  // namespace

TEST_CASE("a series is ordered by its factor, its change and worst point by hand", "[published]") {
  const std::vector<Case> cases = {on("r-2", 16, 11), on("r-1", 8, 10), on("r-3", 32, 12)};
  const std::vector<StepEstimate> estimates = {predicted(10), predicted(8), predicted(8.8)};
  std::vector<SeriesRow> rows;
  for (size_t i = 0; i < 3; ++i) rows.push_back({&cases[i], &estimates[i]});
  std::vector<SeriesResult> series;
  std::vector<SubsetResult> subsets;
  REQUIRE(run_series(definitions_file(), rows, series, subsets).ok());
  REQUIRE(series.size() == 1);
  REQUIRE(series[0].points.size() == 3);
  CHECK(series[0].points[0].id == "r-1");
  CHECK(series[0].measured_change == Approx(0.2));
  CHECK(series[0].predicted_change == Approx(0.1));
  CHECK(series[0].same_sign);
  // Middle: 1.25 / 1.1 - 1 = 0.13636; last: 1.1 / 1.2 - 1 = -0.08333.
  CHECK(series[0].worst == Approx(1.25 / 1.1 - 1));
  REQUIRE(subsets.size() == 2);
  // 8 GPUs: -20 %, 16 GPUs: -9.09 %; all: the worst is 32 GPUs with -26.7 %.
  CHECK(subsets[0].rows == 2);
  CHECK(subsets[0].value == Approx((0.2 + 1.0 / 11) / 2));
  CHECK(subsets[0].ok);
  CHECK(subsets[1].value == Approx(1 - 8.8 / 12));
  CHECK(!subsets[1].ok);
}

TEST_CASE("a wrong direction and a refused row show", "[published]") {
  const std::vector<Case> cases = {on("r-1", 8, 10), on("r-2", 16, 11), on("r-3", 32, 12)};
  const std::vector<StepEstimate> estimates = {predicted(8), predicted(7)};
  std::vector<SeriesResult> series;
  std::vector<SubsetResult> subsets;
  REQUIRE(run_series(definitions_file(),
                     {{&cases[0], &estimates[0]}, {&cases[1], &estimates[1]}, {&cases[2], nullptr}},
                     series, subsets)
              .ok());
  CHECK(!series[0].same_sign);
  CHECK(series[0].missing == 1);
  CHECK(subsets[1].value == Approx(1.0));  // a refusal is an error of 100 %
}

TEST_CASE("the source's words say how it counts FLOPs", "[published]") {
  CHECK(convention_of("hardware FLOPs incl. full recompute: SC21 formula") ==
        FlopsConvention::with_recompute);
  CHECK(convention_of("model FLOPs, no recompute (Megatron-Core, causal attention)") ==
        FlopsConvention::causal);
  CHECK(convention_of("full (non-causal) attention, no recompute") == FlopsConvention::full_square);
  CHECK(convention_of("NeMo fine-tuning FLOPs: 6N, no attention term") ==
        FlopsConvention::parameters_only);
  CHECK(convention_of("") == FlopsConvention::full_square);
}

TEST_CASE("a step time follows from tokens or TFLOP/s where none is printed", "[published]") {
  Case c = on("a", 4, 1);
  c.measured.step_s.reset();
  CHECK(!measured_step_s(c));
  c.measured.tflops_per_gpu = 2.0;
  const double flops = model_flops_per_token(c.question->model, 1024, FlopsConvention::full_square);
  CHECK(*measured_step_s(c) == Approx(flops * 8 * 1024 / (2e12 * 4)));
  c.measured.tokens_per_s_per_gpu = 512;
  CHECK(*measured_step_s(c) == Approx(8 * 1024 / (512.0 * 4)));
}

TEST_CASE("pairs that differ in one column", "[published]") {
  std::vector<Case> cases;
  std::vector<StepEstimate> estimates;
  for (const auto& [micro, measured, guess] :
       {std::tuple{1, 10.0, 9.0}, {2, 8.0, 8.5}, {4, 9.0, 8.0}}) {
    cases.push_back(on("r", 8, measured));
    estimates.push_back(predicted(guess));
    estimates.back().plan = cases.back().question->levels[0][0];
    estimates.back().plan.micro_batch = micro;
  }
  std::vector<SeriesRow> rows;
  for (size_t i = 0; i < 3; ++i) rows.push_back({&cases[i], &estimates[i]});
  const auto trends = factor_trends(rows);
  REQUIRE(trends.size() == 1);
  CHECK(trends[0].factor == "micro-batch");
  CHECK(trends[0].pairs == 2);
  CHECK(trends[0].same_sign == 1);  // 10 -> 8 as 9 -> 8.5, but 8 -> 9 as 8.5 -> 8
  const double first = std::abs(std::log(8.5 / 9) - std::log(0.8));
  const double second = std::abs(std::log(8 / 8.5) - std::log(9.0 / 8));
  CHECK(trends[0].median_miss == Approx(std::max(first, second)));
}

TEST_CASE("the report in JSON keeps the contract", "[published]") {
  std::vector<Case> cases = {on("a", 8, 10), on("b", 8, 20), on("c", 8, 30), on("d", 8, 24)};
  cases[1].question.reset();
  cases[1].refusal = {ErrorKind::input, "no GPU", "t:3", "x"};
  const Predictor predictor = [](const Question&, const Plan& plan) -> Result<StepEstimate> {
    StepEstimate e = predicted(12);
    e.plan = plan;
    e.peak_memory_bytes = 9;
    e.reported_memory_bytes = 7;
    e.mfu = 0.9;  // so that 10 s, measured, are 1.08 of the GPU's peak
    return e;
  };
  const auto report = report_on(cases, "t", predictor);
  REQUIRE(report.ok());
  const auto json = nlohmann::json::parse(published_json(*report));
  CHECK(json["schema"] == "meshplan.published/1");
  REQUIRE(json["cases"].size() == 4);
  const auto& first = json["cases"][0];
  CHECK(first["measured_step_s"] == 10.0);
  CHECK(first["predicted_step_s"] == 12.0);
  CHECK(first["error"].get<double>() == Approx(0.2));
  CHECK(first["predicted_memory_bytes"] == 7.0);
  CHECK(first["measured_memory_bytes"].is_null());
  CHECK(first["refused"].is_null());
  CHECK(first["fits"] == true);
  CHECK(json["cases"][1]["refused"] == "no GPU (t:3): x");
  // (0.2 + 1 + 0.6 + 0.5) / 4; without the first, which no GPU of that kind can do, over 3
  CHECK(json["score"]["step_mean_over_sources"].get<double>() == Approx(0.575));
  CHECK(json["score_within_peak"]["step_mean_over_sources"].get<double>() == Approx(0.7));
  CHECK(json["score"]["silver_mean_over_sources"].is_null());
  CHECK(json["by_source"].contains("S"));
  CHECK(published_text(*report).find("no GPU") != std::string::npos);
  CHECK(published_csv(*report).find("\nc,S,S,gold") != std::string::npos);
  const std::string html = published_html(*report);
  CHECK(html.find("<figure>") != std::string::npos);
  CHECK(html.find("src=\"http") == std::string::npos);  // nothing is loaded from elsewhere
  CHECK(html.find("<link") == std::string::npos);
}
