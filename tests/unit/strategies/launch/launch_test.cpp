// SPDX-License-Identifier: Apache-2.0
#include "strategies/launch/launch.hpp"

#include <set>

#include "strategies/launch/common.hpp"
#include "strategies/launch/keys.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;
using namespace meshplan::launch;

TEST_CASE("Megatron's layout strings, there and back") {
  CHECK(layout_text({19, 21, 0, 1}) == "Et*19|t*21||tL");
  std::string problem;
  CHECK(layout_split("Et*19|t*21||tL", problem) == std::vector<int>{19, 21, 0, 1});
  CHECK(layout_split("Ettt|(tt|)*3,m|L", problem) == std::vector<int>{3, 2, 2, 2, 0, 0});
  CHECK(problem.empty());
  CHECK(layout_split("Ex|L", problem).empty());
  CHECK(!problem.empty());
}

TEST_CASE("embedding and loss count as layers") {
  CHECK(split_with_ends(14, 4, true, true) == std::vector<int>{3, 4, 4, 3});
  CHECK(split_with_ends(15, 4, false, true) == std::vector<int>{4, 4, 4, 3});
  CHECK(split_with_ends(14, 4, false, true).empty());
}

TEST_CASE("plans that do the same are the same") {
  const Model model = llama_of_size(8e9);
  Plan a, b;
  a.sequence_parallel = false;  // at tp 1
  a.schedule = ScheduleKind::gpipe;
  a.reshard_after_forward = false;  // not sharded
  a.recompute_modules = 3;          // nothing is recomputed
  CHECK(differences(model, a, b).empty());
  a.pp = b.pp = 2;
  a.schedule = b.schedule = ScheduleKind::one_f_one_b;
  a.layer_split = {16, 16};
  CHECK(differences(model, a, b).empty());
  a.layer_split = {17, 15};
  const auto lost = differences(model, a, b);
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].knob == "--layer-split");
  CHECK(lost[0].wanted == "17,15");
}

TEST_CASE("keys: prefixes, types and choices") {
  const KeyTable keys = {{"a.b", {"int", {}}}, {"c.*", {"any", {}}}, {"d", {"text", {"x", "y"}}}};
  CHECK(find_key(keys, "a.b") != nullptr);
  CHECK(find_key(keys, "a") == nullptr);
  CHECK(find_key(keys, "c.e.f") != nullptr);
  CHECK(mismatch(keys.at("a.b"), 8).empty());
  CHECK(mismatch(keys.at("a.b"), 8.0).empty());
  CHECK(mismatch(keys.at("a.b"), 8.5) == "a whole number");
  CHECK(mismatch(keys.at("d"), "z") == "x, y");
  CHECK(mismatch({"int-or-auto", {}}, "auto").empty());
}

TEST_CASE("every trainer's table is whole: rules once, keys for each release, knobs by flag") {
  std::set<std::string> ids;
  for (const TrainerFiles* trainer : trainer_files()) {
    CHECK(ids.insert(trainer->id).second);
    CHECK(find_trainer(trainer->plans).ok());
    std::set<std::string> rules;
    for (const ConfigRule& rule : trainer->rules) CHECK(rules.insert(rule.id).second);
    for (const auto& [knob, key] : trainer->knobs) CHECK(std::string(knob).rfind("--", 0) == 0);
    if (trainer->write == nullptr) continue;
    for (const Version version : trainer->versions) CHECK(load_keys(trainer->id, version).ok());
  }
  CHECK(find_trainer_files("torchtitan").ok());
  CHECK(!find_trainer_files("torchtitn").ok());
  CHECK(!version_of(**find_trainer_files("nanotron"), "0.1").ok());
}
