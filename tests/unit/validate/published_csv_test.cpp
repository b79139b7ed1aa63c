// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/catch.hpp"
#include "validate/published/csv.hpp"

using namespace meshplan;

TEST_CASE("quoted cells hold commas, doubled quotes and line breaks", "[published]") {
  const auto table =
      CsvTable::parse("a,b\n\"x, y\",\"he said \"\"no\"\"\"\n\"two\nlines\",2\n", "t");
  REQUIRE(table.ok());
  REQUIRE(table->records().size() == 2);
  CHECK(table->cell(table->records()[0], "a") == "x, y");
  CHECK(table->cell(table->records()[0], "b") == "he said \"no\"");
  CHECK(table->cell(table->records()[1], "a") == "two\nlines");
  CHECK(table->records()[1].line == 3);
}

TEST_CASE("line ends of Windows, a byte-order mark and a missing last line end", "[published]") {
  const auto table = CsvTable::parse(
      "\xEF\xBB\xBF"
      "a,b\r\n1, 2 \r\n\r\n3,",
      "t");
  REQUIRE(table.ok());
  REQUIRE(table->header() == std::vector<std::string>{"a", "b"});
  REQUIRE(table->records().size() == 2);
  CHECK(table->cell(table->records()[0], "b") == "2");
  CHECK(table->cell(table->records()[1], "a") == "3");
  CHECK(table->cell(table->records()[1], "b").empty());
  CHECK(table->records()[1].line == 4);
}

TEST_CASE("a row with a wrong number of cells is kept and named", "[published]") {
  const auto table = CsvTable::parse("a,b\n1\n2,3,4\n5,6\n", "t");
  REQUIRE(table.ok());
  REQUIRE(table->records().size() == 3);
  CHECK(table->records()[0].problem == "the row has 1 cells, the header 2");
  CHECK(table->records()[1].problem == "the row has 3 cells, the header 2");
  CHECK(table->records()[2].problem.empty());
  CHECK(table->cell(table->records()[0], "b").empty());
}

TEST_CASE("what makes a table unreadable is said with its line", "[published]") {
  const auto open = CsvTable::parse("a,b\n1,\"2\n3,4\n", "t");
  REQUIRE(!open.ok());
  CHECK(open.error().where == "t:2");
  CHECK(open.error().kind == ErrorKind::input);
  const auto twice = CsvTable::parse("a,a\n", "t");
  REQUIRE(!twice.ok());
  CHECK(twice.error().value == "a");
  CHECK(!CsvTable::parse("", "t").ok());
  const auto table = CsvTable::parse("id,micro_batc\n", "t");
  REQUIRE(table.ok());
  const Status missing = table->require({"id", "micro_batch"});
  REQUIRE(!missing.ok());
  CHECK(missing.error().hint.find("micro_batc'") != std::string::npos);
}

TEST_CASE("a written cell reads back", "[published]") {
  for (const std::string text : {"plain", "a,b", "say \"x\"", "two\nlines", ""}) {
    const auto table = CsvTable::parse("a,b\n" + csv_cell(text) + ",end\n", "t");
    REQUIRE(table.ok());
    CHECK(table->cell(table->records()[0], "a") == text);
    CHECK(table->cell(table->records()[0], "b") == "end");
  }
}
