// SPDX-License-Identifier: Apache-2.0
#include "validate/page/page.hpp"

#include "tests/unit/catch.hpp"

using namespace meshplan;

TEST_CASE("a page without charts carries no script, one with charts carries the library") {
  page::Table table{{"GPUs", "a < b"}, {{"8", "\"1\" & 2"}}};
  const std::string plain = page::document("A & B", page::to_html(table));
  CHECK(plain.find("<script") == std::string::npos);
  CHECK(plain.find("<title>A &amp; B</title>") != std::string::npos);
  CHECK(plain.find("<h1>A &amp; B</h1>") != std::string::npos);
  CHECK(plain.find("a &lt; b") != std::string::npos);
  CHECK(plain.find("{{") == std::string::npos);

  page::Chart chart{"Rate", "", "GPUs", "tokens/s", true};
  chart.series.push_back({"</script>", {{8, 1.5, 1, 2, "x"}}});
  chart.table = table;
  const std::string drawn = page::document("Charts", page::to_html(chart));
  CHECK(drawn.find("<table>") != std::string::npos);
  CHECK(drawn.size() < 1'000'000);
  if (page::has_charts()) {
    CHECK(drawn.find("Chart.js v") != std::string::npos);
    CHECK(drawn.find("[8,1.5,1,2,\"x\"]") != std::string::npos);
    CHECK(drawn.find("\"</script>\"") == std::string::npos);
  } else {
    CHECK(drawn.find("<canvas") == std::string::npos);
  }
}
