// SPDX-License-Identifier: Apache-2.0
#include "planner/planfile/planfile.hpp"

#include "strategies/trainer/settings.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;
using namespace meshplan::planfile;

namespace {

PlanFile example(const char* model) {
  PlanFile file;
  file.model = find_model(model).value();
  file.cluster = find_cluster("4x8xH100").value();
  file.trainer = find_trainer("torchtitan").value();
  file.trainer.rank_order = "pp-tp-cp-dp";
  file.plan.tp = 4;
  file.plan.pp = 2;
  file.plan.dp_shard = 2;
  file.plan.dp_replicate = 2;
  file.plan.layer_split = {15, 17};
  file.plan.schedule = ScheduleKind::zb_v;
  file.plan.cp_kind = ContextParallel::ring;
  file.plan.recompute = Recompute::selective;
  file.plan.recompute_modules = bit(Module::norm) | bit(Module::activation);
  file.plan.compute = DType::fp8;
  file.batch = {4096, 64};
  return file;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a plan file gives back what was written") {
  // MoE with MLA and a tied GPT-2 between them use every optional part of a model.
  for (const char* name : {"llama3-8b", "deepseek-v3", "gpt2", "gemma2-9b", "gpt-oss-20b"}) {
    CAPTURE(name);
    const PlanFile file = example(name);
    const std::string text = to_yaml(file);
    const auto back = parse(text, "plan.yaml");
    REQUIRE(back.ok());
    CHECK(to_yaml(*back) == text);
    CHECK(parameters(back->model) == parameters(file.model));
    CHECK(model_flops_per_token(back->model, 4096) == model_flops_per_token(file.model, 4096));
    CHECK(back->cluster.gpus() == 32);
    CHECK(back->cluster.gpu.id == file.cluster.gpu.id);
    CHECK(back->trainer.rank_order == "pp-tp-cp-dp");
    CHECK(to_text(back->plan) == to_text(file.plan));
    CHECK(back->plan.layer_split == file.plan.layer_split);
    CHECK(back->plan.recompute_modules == file.plan.recompute_modules);
    CHECK(back->plan.compute == DType::fp8);
    CHECK(back->batch.global_sequences == 64);
  }
}

TEST_CASE("settings of the trainer stand in a plan file, lists among them") {
  PlanFile file = example("llama3-8b");
  REQUIRE(set(file.trainer, {"overlap", "fsdp_prefetch_units", "2"}).ok());
  REQUIRE(set(file.trainer, {"host", "graphed", "[attention, router]"}).ok());
  const std::string text = to_yaml(file);
  const auto back = parse(text, "plan.yaml");
  REQUIRE(back.ok());
  CHECK(back->trainer == file.trainer);
  CHECK(to_yaml(*back) == text);
  const auto broken =
      parse(replaced(text, "graphed: [attention", "graphed: [atention"), "plan.yaml");
  REQUIRE_FALSE(broken.ok());
  CHECK(broken.error().where == "plan.yaml:8: trainer_settings.host.graphed");
}

TEST_CASE("a plan file is read strictly") {
  const std::string text = to_yaml(example("llama3-8b"));
  const auto refused = [&](const std::string& from, const std::string& to) {
    const auto read = parse(replaced(text, from, to), "plan.yaml");
    REQUIRE_FALSE(read.ok());
    return read.error();
  };
  CHECK(refused("  tp: 4", "  tp: four").where == "plan.yaml:7: strategy.tp");
  CHECK(refused("  tp: 4\n", "").message.find("'tp'") != std::string::npos);
  CHECK(refused("  hidden: 4096", "  hidden: 4096\n  hiden: 1").hint.find("hidden") !=
        std::string::npos);
  CHECK(refused("  gpus_per_node", "  gpu_per_node").where.find("cluster") != std::string::npos);
  CHECK(refused("plan-file/1", "plan-file/2").hint == "meshplan.plan-file/1");
  CHECK(refused("torchtitan", "torchtitn").kind == ErrorKind::usage);
  CHECK(refused("  schedule: zb-v", "  schedule: zb-x").kind == ErrorKind::input);
}
