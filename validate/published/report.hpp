// SPDX-License-Identifier: Apache-2.0
// What does the whole comparison of predictions with a table of published runs say?
//
// validate_published() reads, predicts and scores; the renderers turn the one report into text,
// JSON (schema meshplan.published/1), CSV (one line a row of the table) and a self-contained HTML
// page with a scatter of predicted against measured.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "validate/published/bands.hpp"
#include "validate/published/case.hpp"
#include "validate/published/predict.hpp"
#include "validate/published/score.hpp"
#include "validate/published/series.hpp"

namespace meshplan {

struct PublishedCase {
  Case question;
  std::optional<Prediction> prediction;
  Diagnostic refusal;  ///< meaningful only without a prediction
};

/// Errors of the rows that share a property, gold and silver apart.
struct Breakdown {
  struct Line {
    std::string label;
    ErrorSummary gold, silver;
  };
  std::string title;
  std::vector<Line> lines;
};

struct PublishedReport {
  std::string table;
  std::vector<PublishedCase> cases;  ///< in the table's order
  std::vector<ScoredRow> rows;       ///< same order
  Score score;
  Score within_peak;  ///< without the rows whose measured_share_of_peak() is above 1
  std::vector<Breakdown> breakdowns;  ///< source, trainer, GPU, model size, parallel axes, ...
  std::vector<SeriesResult> series;
  std::vector<SubsetResult> subsets;
  std::vector<FactorTrend> trends;
  std::optional<BandFit> bands;  ///< learnt from these predictions; none from a single source
  std::optional<BandFit> memory_bands;  ///< same, of memory peaks
  double seconds = 0;
};

struct PublishedOptions {
  Predictor predictor;  ///< empty: the cost model with its fitted constants
};

/// Error (input): the table cannot be read, lacks a column, or our own data files are broken. A bad
/// row is a refusal in the report.
Result<PublishedReport> validate_published(const std::string& path,
                                           const PublishedOptions& options = {});

/// Predictions and scores of cases that are already read; for refits, which ask again and again.
Result<PublishedReport> report_on(std::vector<Case> cases, const std::string& table,
                                  const Predictor& predictor);
ScoredRow scored(const PublishedCase& one);
/// Model FLOPs over the GPU's dense peak that the measured step would mean. Above 1 something of
/// the row is not as it says; no value: no prediction, no measured step, or frozen weights.
std::optional<double> measured_share_of_peak(const PublishedCase& one);
/// What the cost model reads: the bands of this report. Error (check): of too few sources.
Result<EstimateBands> bands_of(const PublishedReport& report);

std::string published_text(const PublishedReport& report);
std::string published_json(const PublishedReport& report);
std::string published_csv(const PublishedReport& report);
std::string published_html(const PublishedReport& report);

}  // namespace meshplan
