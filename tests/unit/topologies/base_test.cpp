// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/catch.hpp"
#include "topologies/base/nearest.hpp"
#include "topologies/base/reader.hpp"

using namespace meshplan;

TEST_CASE("edit distance counts one swap of neighbours as one edit") {
  CHECK(edit_distance("llama", "llama") == 0);
  CHECK(edit_distance("lalma", "llama") == 1);
  CHECK(edit_distance("", "abc") == 3);
}

TEST_CASE("nearest finds the misspelt name and stays silent when nothing is near") {
  CHECK(nearest("H10O", {"A100", "H100", "H200"}) == "H100");
  CHECK(nearest("H10", {"A10", "H20", "H100", "H200"}) == "H100");  // equally near: starts alike
  CHECK(nearest("zzzzzz", {"A100", "H100"}).empty());
}

TEST_CASE("strict reader: unknown key is named with line and nearest key") {
  auto reader = MapReader::parse("memory_bytes: 3\nnmae: x\n", "gpu.yaml");
  REQUIRE(reader);
  reader->integer("memory_bytes");
  reader->text("name", "");
  const Status status = reader->finish();
  REQUIRE_FALSE(status.ok());
  CHECK(status.error().where == "gpu.yaml:2: nmae");
  CHECK(status.error().hint == "did you mean 'name'?");
  CHECK(status.error().kind == ErrorKind::input);
}

TEST_CASE("strict reader: a missing key is answered with the misspelt one that stands there") {
  auto reader = MapReader::parse("nodez: 3\n", "cluster.yaml");
  REQUIRE(reader);
  reader->integer("nodes");
  CHECK(reader->finish().error().message == "key 'nodes' is missing");
  CHECK(reader->finish().error().hint == "is 'nodez' a misspelling of it?");
  auto other = MapReader::parse("colour: red\n", "cluster.yaml");
  other->integer("nodes");
  CHECK(other->finish().error().hint.empty());
}

TEST_CASE(
    "strict reader: negative bandwidth, wrong type and truncated text are errors with a line") {
  auto reader = MapReader::parse("bandwidth_bytes_per_s: -4\n", "c.yaml");
  REQUIRE(reader);
  reader->positive("bandwidth_bytes_per_s");
  CHECK(reader->finish().error().where == "c.yaml:1: bandwidth_bytes_per_s");
  auto list = MapReader::parse("count: many\n", "c.yaml");
  list->integer("count");
  CHECK(list->finish().error().value == "many");
  CHECK_FALSE(MapReader::parse("{\"a\": 1, \"b\": [2,", "c.json").ok());
}
