// SPDX-License-Identifier: Apache-2.0
#include "validate/published/refit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <thread>

#include "costmodel/profile/kernel_config.hpp"
#include "validate/published/cases.hpp"
#include "validate/published/step_predictor.hpp"

namespace meshplan {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
using Point = std::vector<int>;
using Losses = std::vector<FamilyLoss>;

struct Means {
  double step = 0, memory = 0;
  double sum() const { return (std::isnan(step) ? 0 : step) + (std::isnan(memory) ? 0 : memory); }
};

Means means(const Losses& losses, const std::string& without) {
  double step = 0, memory = 0, steps = 0, memories = 0;
  for (const FamilyLoss& loss : losses) {
    if (loss.family == without) continue;
    if (!std::isnan(loss.step)) {
      step += loss.weight * loss.step;
      steps += loss.weight;
    }
    if (!std::isnan(loss.memory)) {
      memory += loss.weight * loss.memory;
      memories += loss.weight;
    }
  }
  return {steps > 0 ? step / steps : kNone, memories > 0 ? memory / memories : kNone};
}

/// Do two points differ for a family other than `without`?
bool differ(const Losses& a, const Losses& b, const std::string& without) {
  const auto same = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].family != without && (!same(a[i].step, b[i].step) || !same(a[i].memory, b[i].memory)))
      return true;
  return false;
}

double step_of(const Losses& losses, const std::string& family) {
  for (const FamilyLoss& loss : losses) {
    if (loss.family == family) return loss.step;
  }
  return kNone;
}

class Search {
 public:
  Search(const std::vector<FitConstant>& constants, const FitModel& model, int steps)
      : constants_(constants), model_(model), steps_(steps) {}

  Point start() const {
    Point point;
    for (const FitConstant& c : constants_) {
      const double share = (c.value - c.lower) / (c.upper - c.lower);
      point.push_back(std::clamp(static_cast<int>(std::lround(share * steps_)), 0, steps_));
    }
    return point;
  }
  double value(size_t constant, int index) const {
    const FitConstant& c = constants_[constant];
    return c.lower + (c.upper - c.lower) * index / steps_;
  }
  std::vector<double> values(const Point& point) const {
    std::vector<double> out;
    for (size_t i = 0; i < point.size(); ++i) out.push_back(value(i, point[i]));
    return out;
  }
  double pull(const Point& point) const {
    double sum = 0;
    for (size_t i = 0; i < point.size(); ++i) {
      const FitConstant& c = constants_[i];
      if (std::isnan(c.neutral)) continue;
      const double distance = (value(i, point[i]) - c.neutral) / (c.upper - c.lower);
      sum += kPull * distance * distance;
    }
    return sum;
  }
  Result<const Losses*> at(const Point& point) {
    const auto found = priced_.find(point);
    if (found != priced_.end()) return &found->second;
    MESHPLAN_TRY(Losses losses, model_(values(point)));
    return &priced_.emplace(point, std::move(losses)).first->second;
  }
  int priced() const { return static_cast<int>(priced_.size()); }

  /// Names of the constants whose next values leave all families but `without` as they are.
  Result<std::vector<std::string>> untold(const Point& point, const std::string& without) {
    std::vector<std::string> out;
    MESHPLAN_TRY(const Losses* here, at(point));
    for (size_t i = 0; i < point.size(); ++i) {
      bool told = false;
      for (const int direction : {1, -1}) {
        Point next = point;
        next[i] = std::clamp(next[i] + direction, 0, steps_);
        MESHPLAN_TRY(const Losses* there, at(next));
        told = told || differ(*here, *there, without);
      }
      if (!told) out.push_back(constants_[i].name);
    }
    return out;
  }

  /// Descends from `point` with steps from `stride` down to one.
  Result<Point> descend(Point point, int stride, const std::string& without) {
    MESHPLAN_TRY(const Losses* losses, at(point));
    double best = means(*losses, without).sum() + pull(point);
    while (stride >= 1) {
      bool moved = false;
      for (size_t i = 0; i < point.size(); ++i) {
        for (const int direction : {1, -1}) {
          for (;;) {  // on as long as it helps
            Point next = point;
            next[i] = std::clamp(next[i] + direction * stride, 0, steps_);
            if (next == point) break;
            MESHPLAN_TRY(const Losses* there, at(next));
            const double loss = means(*there, without).sum() + pull(next);
            if (!(loss < best - 1e-7)) break;
            best = loss;
            point = std::move(next);
            moved = true;
          }
        }
      }
      if (!moved) stride /= 2;
    }
    return point;
  }

 private:
  const std::vector<FitConstant>& constants_;
  const FitModel& model_;
  int steps_;
  std::map<Point, Losses> priced_;
};

ScoredRow scored_by(const Case& c, const Predictor& predictor) {
  PublishedCase one;
  one.question = c;
  if (c.question) {
    Result<Prediction> prediction = predict(*c.question, predictor);
    if (prediction.ok()) one.prediction = std::move(*prediction);
  }
  return scored(one);
}

bool bears_on_gold(const Case& c) {
  const bool timed = c.tier == "gold" && c.measured.step_s;
  return !c.measured.out_of_memory && (timed || c.measured.peak_memory_bytes);
}

/// All of these rows are silver: no gold one is known.
bool bears_on_other_libraries(const Case& c) {
  if (c.tier != "silver" || !c.measured.step_s || !c.question) return false;
  const Gpu& gpu = c.question->cluster->gpu;
  const auto config = KernelConfig::find(gpu.kernel_table);
  return config.ok() && config->other_libraries(gpu.family);
}

}  // namespace

Result<RefitReport> refit(std::vector<FitConstant> constants, const FitModel& model,
                          const RefitOptions& options) {
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  RefitReport out;
  for (const FitConstant& c : constants) {
    if (!(c.upper > c.lower))
      return Diagnostic{ErrorKind::input, "a constant's bounds are empty", c.name};
    out.before.push_back(c.value);
  }
  MESHPLAN_TRY(const Losses as_is, model(out.before));
  out.step_before = means(as_is, "").step;
  out.memory_before = means(as_is, "").memory;

  Search search(constants, model, options.steps);
  MESHPLAN_TRY(const Point best, search.descend(search.start(), options.steps / 8, ""));
  MESHPLAN_TRY(const Losses* fitted, search.at(best));
  out.step_after = means(*fitted, "").step;
  out.memory_after = means(*fitted, "").memory;
  say(fmt::format("all sources: step {:.4f}, memory {:.4f}, {} points", out.step_after,
                  out.memory_after, search.priced()));
  if (options.leave_one_out) {
    double sum = 0, weights = 0;
    for (const FamilyLoss& loss : Losses(*fitted)) {
      if (std::isnan(loss.step)) continue;
      LeftOut one{loss.family, loss.step, kNone, loss.weight, {}};
      MESHPLAN_TRY(one.untold, search.untold(best, loss.family));
      if (one.untold.empty()) {
        MESHPLAN_TRY(const Point point, search.descend(best, options.steps / 16, loss.family));
        MESHPLAN_TRY(const Losses* there, search.at(point));
        one.step_left_out = step_of(*there, loss.family);
        sum += one.weight * one.step_left_out;
        weights += one.weight;
      }
      say(fmt::format("without {}: {:.4f} (in the fit {:.4f}), {} points", loss.family,
                      one.step_left_out, loss.step, search.priced()));
      out.families.push_back(std::move(one));
    }
    out.step_left_out = weights > 0 ? sum / weights : kNone;
  }
  for (size_t i = 0; i < constants.size(); ++i) constants[i].value = search.value(i, best[i]);
  out.constants = std::move(constants);
  out.priced = search.priced();
  return out;
}

Result<RefitReport> refit_published(const std::string& path, const Constants& present, FitRows rows,
                                    const RefitOptions& options) {
  MESHPLAN_TRY(std::vector<Case> cases, read_cases(path));
  const bool gold = rows == FitRows::gold;
  cases.erase(std::remove_if(cases.begin(), cases.end(),
                             [&](const Case& c) {
                               return gold ? !bears_on_gold(c) : !bears_on_other_libraries(c);
                             }),
              cases.end());
  std::vector<FitConstant> constants;
  std::vector<double Constants::*> fields;
  for (const ConstantEntry& entry : constant_entries()) {
    if (entry.rows != rows) continue;
    constants.push_back(
        {entry.name, entry.lower, entry.upper, present.*entry.field, entry.neutral});
    fields.push_back(entry.field);
  }
  // Of each thread, what it has read of GPUs.
  std::vector<std::shared_ptr<CalibrationCache>> tables(
      std::max(1U, std::thread::hardware_concurrency()));
  for (auto& cache : tables) cache = std::make_shared<CalibrationCache>();
  const FitModel model = [&](const std::vector<double>& values) -> Result<Losses> {
    Constants trial = present;
    for (size_t i = 0; i < values.size(); ++i) trial.*fields[i] = values[i];
    std::vector<ScoredRow> scores(cases.size());
    std::vector<std::thread> threads;
    for (size_t t = 0; t < tables.size(); ++t)
      threads.emplace_back([&, t] {
        const Predictor predictor = step_predictor(trial, tables[t]);
        for (size_t i = t; i < cases.size(); i += tables.size())
          scores[i] = scored_by(cases[i], predictor);
      });
    for (std::thread& thread : threads) thread.join();
    Losses losses;
    for (const FamilyScore& f : score(scores).families) {
      const ErrorSummary& step = gold ? f.gold : f.silver;
      losses.push_back({f.family, step.rows >= kRowsPerFamily ? step.mean : kNone,
                        gold && f.memory_rows >= kRowsPerFamily ? f.memory_mean : kNone});
    }
    return losses;
  };
  return refit(std::move(constants), model, options);
}

Constants constants_of(const RefitReport& report, Constants present) {
  for (const FitConstant& c : report.constants) {
    for (const ConstantEntry& entry : constant_entries()) {
      if (entry.name == c.name) present.*entry.field = c.value;
    }
  }
  return present;
}

std::string constants_yaml(const Constants& constants) {
  std::string out = fmt::format(
      "# SPDX-License-Identifier: Apache-2.0\n"
      "# Global constants that are fitted on whole published runs; see "
      "costmodel/step/constants.hpp.\n"
      "# Written by `meshplan validate refit --write`.\nfitted_on: \"{}\"\n",
      constants.fitted_on);
  for (const ConstantEntry& entry : constant_entries())
    out += fmt::format("{}: {:.6g}\n", entry.name, constants.*entry.field);
  return out;
}

std::string refit_text(const RefitReport& report, const std::string& what) {
  std::string out = fmt::format("{:<28}{:>12}{:>12}{:>12}{:>12}\n", "constant", "before", "fitted",
                                "lower", "upper");
  for (size_t i = 0; i < report.constants.size(); ++i) {
    const FitConstant& c = report.constants[i];
    out += fmt::format("{:<28}{:>12.5g}{:>12.5g}{:>12.5g}{:>12.5g}{}\n", c.name, report.before[i],
                       c.value, c.lower, c.upper,
                       c.value == c.lower || c.value == c.upper ? "  at its bound" : "");
  }
  out += fmt::format("\nstep time, mean over {}: {:.2f} % before, {:.2f} % fitted", what,
                     100 * report.step_before, 100 * report.step_after);
  if (!std::isnan(report.step_left_out) && !report.families.empty())
    out += fmt::format(", {:.2f} % each left out", 100 * report.step_left_out);
  out += "\n";
  if (!std::isnan(report.memory_after))
    out += fmt::format("peak memory, mean over {}: {:.2f} % before, {:.2f} % fitted\n", what,
                       100 * report.memory_before, 100 * report.memory_after);
  if (!report.families.empty())
    out += fmt::format("\n{:<56}{:>10}{:>10}\n", what, "in fit", "left out");
  for (const LeftOut& f : report.families) {
    out += fmt::format("  {:<54.54}{:>8.2f} %", f.family, 100 * f.step_fitted);
    out += f.untold.empty() ? fmt::format("{:>8.2f} %\n", 100 * f.step_left_out)
                            : fmt::format("{:>10}\n    it alone tells of {}\n", "none",
                                          fmt::join(f.untold, ", "));
  }
  return out + fmt::format("\n{} points priced\n", report.priced);
}

}  // namespace meshplan
