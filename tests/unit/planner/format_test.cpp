// SPDX-License-Identifier: Apache-2.0
#include "planner/report/format.hpp"

#include "planner/report/estimate.hpp"
#include "planner/report/table.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;
using namespace meshplan::report;

TEST_CASE("numbers have three digits and a unit") {
  CHECK(significant(0) == "0");
  CHECK(significant(0.12345) == "0.123");
  CHECK(significant(9.996) == "10.0");
  CHECK(significant(99.96) == "100");
  CHECK(significant(1234.5) == "1,234");
  CHECK(grouped(-1234567) == "-1,234,567");
  CHECK(gib(80.0 * 1024 * 1024 * 1024) == "80.0 GiB");
  CHECK(gib(512.0 * 1024) == "512 KiB");
  CHECK(seconds(0.0123) == "12.3 ms");
  CHECK(seconds(4.5e-6) == "4.50 us");
  CHECK(percent(0.4164) == "41.6 %");
  CHECK(count(405853388800.0) == "405.9 B");
  CHECK(plural(1, "node") == "1 node");
  CHECK(plural(3072, "node") == "3,072 nodes");
}

TEST_CASE("lines are wrapped at blanks") {
  CHECK(wrapped("one two three", 2, 9) == "one two\n  three");
  CHECK(wrapped("", 2, 9).empty());
}

TEST_CASE("columns line up and the last one wraps") {
  Table table({{"a", Align::left}, {"b", Align::right}, {"c", Align::left}});
  table.add({"xx", "1", "one two"});
  table.add({"x", "10", "three"});
  CHECK(table.text(0, 100) == "a    b  c\nxx   1  one two\nx   10  three\n");
  CHECK(table.text(0, 12) == "a    b  c\nxx   1  one\n        two\nx   10  three\n");
}

TEST_CASE("a plan in a cell leaves out what is off") {
  Plan plan;
  CHECK(brief(plan) == "mb1");
  plan.tp = 8;
  plan.pp = 4;
  plan.vpp = 2;
  plan.schedule = ScheduleKind::interleaved;
  plan.dp_shard = 4;
  plan.dp_replicate = 2;
  plan.zero = 1;
  plan.recompute = Recompute::full;
  CHECK(brief(plan) == "tp8 pp4 vpp2 dp8 zero1 shard4 mb1 recompute full");
  CHECK(key_of("tensor parallel, exposed", "s") == "tensor_parallel_exposed_s");
}
