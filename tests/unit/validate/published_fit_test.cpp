// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <filesystem>

#include "tests/unit/catch.hpp"
#include "topologies/base/files.hpp"
#include "validate/published/bands.hpp"
#include "validate/published/refit.hpp"

using namespace meshplan;

namespace {

std::vector<BandRow> spread(const std::string& family, const BandClass& of, double middle,
                            double width, int rows) {
  std::vector<BandRow> out;
  for (int i = 0; i < rows; ++i)
    out.push_back({family, of, middle + width * (2.0 * i / (rows - 1) - 1)});
  return out;
}

}  // namespace

TEST_CASE("a band is the 10 % and 90 % quantile, drawn towards the wider class", "[published]") {
  const BandClass of{"t", "hopper", false, false};
  // 11 rows from -0.5 to 0.5: quantiles at the second and the tenth or so, by weight.
  const ErrorBands bands = learn_bands(spread("A", of, 0, 0.5, 11));
  REQUIRE(bands.entries.size() == 4);
  // 10 % of 11 is reached by the second value, 90 % by the tenth: -0.4 and 0.4.
  CHECK(std::log(bands.entries[0].band.low_ratio) == Approx(-0.4));
  CHECK(std::log(bands.entries[0].band.high_ratio) == Approx(0.4));
  // A second class of few rows lies between its own quantile and the wider one.
  std::vector<BandRow> rows = spread("A", of, 0, 0.5, 11);
  const BandClass other{"u", "hopper", false, false};
  for (const BandRow& row : spread("B", other, 2, 0, 3)) rows.push_back(row);
  const ErrorBands two = learn_bands(rows);
  Band parent, own;
  for (const auto& entry : two.entries) {
    if (entry.level == 1) parent = entry.band;
    if (entry.level == 2 && entry.of.trainer == "u") own = entry.band;
  }
  const double weight = 3 / (3 + kShrinkage);
  CHECK(std::log(own.low_ratio) == Approx(weight * 2 + (1 - weight) * std::log(parent.low_ratio)));
}

TEST_CASE("the most specific band is used, and a file reads back", "[published]") {
  EstimateBands both;
  both.fitted_on = "test";
  ErrorBands& bands = both.step;
  bands.widening = 1.5;
  bands.coverage_left_out = 0.8;
  bands.entries = {{0, {}, {0.5, 2}, 9},
                   {2, {"t", "", true, false}, {0.8, 1.25}, 5},
                   {3, {"t", "hopper", true, false}, {0.9, 1.1}, 3}};
  both.memory = both.step;
  const auto path = std::filesystem::temp_directory_path() / "meshplan_bands_test.yaml";
  REQUIRE(write_file(path.string(), to_yaml(both)).ok());
  const auto read = read_error_bands(path.string());
  REQUIRE(read.ok());
  for (const ErrorBands* b : std::vector<const ErrorBands*>{&bands, &read->step, &read->memory}) {
    CHECK(b->band_for({"t", "hopper", true, false}).low_ratio == Approx(0.9));
    CHECK(b->band_for({"t", "ampere", true, false}).low_ratio == Approx(0.8));
    CHECK(b->band_for({"t", "hopper", false, false}).low_ratio == Approx(0.5));
    CHECK(b->band_for({"x", "hopper", true, true}).high_ratio == Approx(2));
  }
  CHECK(read->memory.widening == Approx(1.5));
}

TEST_CASE("bands cover four fifths of the rows of sources left out", "[published]") {
  std::vector<BandRow> rows;
  const BandClass of{"t", "hopper", false, false};
  for (const auto& [family, middle] :
       {std::pair{"A", 0.0}, {"B", 0.1}, {"C", -0.1}, {"D", 0.3}, {"E", 0.05}}) {
    for (const BandRow& row : spread(family, of, middle, 0.2, 21)) rows.push_back(row);
  }
  const auto fit = fit_bands(rows);
  REQUIRE(fit.ok());
  CHECK(fit->bands.coverage_left_out >= 0.8);
  CHECK(fit->bands.coverage_left_out <= 0.82);
  CHECK(fit->bands.widening > 1);  // source D lies off the others
  CHECK(fit->left_out.size() == 5);
  CHECK(!fit_bands(spread("A", of, 0, 1, 5)).ok());
}

TEST_CASE("the pattern search finds the bottom and shows what leaving out costs", "[published]") {
  // Three families with bottoms at 0.25, 0.5 and 0.75 of the first constant and 3 of the second.
  int priced = 0;
  const FitModel model = [&](const std::vector<double>& x) -> Result<std::vector<FamilyLoss>> {
    ++priced;
    std::vector<FamilyLoss> out;
    for (const auto& [name, bottom] : {std::pair{"A", 0.25}, {"B", 0.5}, {"C", 0.75}}) {
      const double a = x[0] - bottom, b = x[1] - 3;
      out.push_back({name, a * a + b * b, std::nan("")});
    }
    return out;
  };
  const auto fit = refit({{"first", 0, 1, 0.9}, {"second", 0, 4, 0}}, model);
  REQUIRE(fit.ok());
  CHECK(fit->constants[0].value == Approx(0.5));
  CHECK(fit->constants[1].value == Approx(3));
  // Mean of 0.0625, 0, 0.0625; without A the bottom is at 0.625, so A's error is 0.375 squared.
  CHECK(fit->step_after == Approx(0.125 / 3));
  REQUIRE(fit->families.size() == 3);
  CHECK(fit->families[0].step_left_out == Approx(0.375 * 0.375));
  CHECK(fit->families[1].step_left_out == Approx(0));
  CHECK(fit->step_left_out == Approx(2 * 0.375 * 0.375 / 3));
  CHECK(fit->step_before > fit->step_after);
  CHECK(std::isnan(fit->memory_after));
  CHECK(fit->priced + 1 == priced);  // each grid point once, and the values as they were
  CHECK(!refit({{"empty", 1, 1, 1}}, model).ok());
}

TEST_CASE("a constant of which one family alone tells has no figure without it", "[published]") {
  const FitModel model = [&](const std::vector<double>& x) -> Result<std::vector<FamilyLoss>> {
    const double a = std::abs(x[0] - 0.5), b = std::abs(x[1] - 0.25);
    return std::vector<FamilyLoss>{
        {"A", a, std::nan(""), 3}, {"B", a + 0.1, std::nan("")}, {"C", b, std::nan("")}};
  };
  const auto fit = refit({{"first", 0, 1, 0.9}, {"second", 0, 1, 0.9}}, model);
  REQUIRE(fit.ok());
  CHECK(fit->step_after == Approx(0.1 / 5));  // A weighs three of five
  CHECK(fit->families[0].untold.empty());
  CHECK(fit->families[2].untold == std::vector<std::string>{"second"});
  CHECK(std::isnan(fit->families[2].step_left_out));
  CHECK(fit->step_left_out == Approx(0.1 / 4));  // of A and B
  CHECK(refit_text(*fit).find("it alone tells of second") != std::string::npos);
}

TEST_CASE("a constant of which the families hardly tell stays where it was measured",
          "[published]") {
  const FitModel model = [&](const std::vector<double>& x) -> Result<std::vector<FamilyLoss>> {
    return std::vector<FamilyLoss>{
        {"A", std::abs(x[0] - 0.5) + 1e-4 * (1 - x[1]), std::nan("")},
        {"B", std::abs(x[0] - 0.5) + std::abs(x[1] - 0.75), std::nan("")}};
  };
  const FitConstant first{"first", 0, 1, 0.9, 0.5};
  const auto value = [&](double neutral) {
    const auto fit = refit({first, {"second", 0, 1, 0.9, neutral}}, model);
    REQUIRE(fit.ok());
    CHECK(fit->constants[0].value == Approx(0.5));
    CHECK(fit->constants[1].value == Approx(0.75));  // B tells of it
    return fit->families[1].step_left_out;           // A does not: its slope is 1e-4
  };
  CHECK(value(std::nan("")) == Approx(0.25));       // at 1, where A is best
  CHECK(value(0.7) == Approx(0.045).margin(0.02));  // near 0.7
}

TEST_CASE("constants are written as they are read", "[published]") {
  Constants constants;
  constants.fitted_on = "test";
  constants.*constant_entries()[0].field = 1.25;
  const std::string text = constants_yaml(constants);
  CHECK(text.find(constant_entries()[0].name + ": 1.25\n") != std::string::npos);
  RefitReport report;
  report.constants = {{constant_entries()[0].name, 0, 2, 1.5}};
  CHECK(constants_of(report, constants).*constant_entries()[0].field == 1.5);
}
