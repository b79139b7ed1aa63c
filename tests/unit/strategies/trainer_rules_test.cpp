// SPDX-License-Identifier: Apache-2.0
// Each rule broken once and kept once, by the smallest change of a legal plan.
#include <functional>
#include <set>

#include "strategies/rules/rules.hpp"
#include "tests/unit/catch.hpp"

using namespace meshplan;

namespace {

struct Case {
  Model model;  // 32 heads, 8 kv heads, 32 layers
  Batch batch{8192, 256};
  Trainer trainer;
  Plan plan;
  int64_t gpus = 64;
};

Case legal() {
  Case c;
  c.model = *find_model("llama3-8b");
  c.trainer.id = "test";
  c.plan.tp = 4;
  c.plan.pp = 2;
  c.plan.dp_shard = 8;
  c.plan.zero = 1;
  return c;
}

Case legal_moe() {
  Case c = legal();
  c.model = *find_model("qwen2-57b-a14b");  // 28 heads, 4 kv heads, 64 experts of 2560
  c.plan.ep = 8;
  return c;
}

RuleId broken(const Case& c) {
  return RuleChecker(c.model, c.batch, c.trainer, c.gpus).check(c.plan);
}

/// `change` breaks exactly this rule, `fix` on top of it makes the plan legal again.
void breaks(RuleId rule, Case c, const std::function<void(Case&)>& change,
            const std::function<void(Case&)>& fix) {
  INFO(name_of(rule));
  REQUIRE(broken(c) == RuleId::none);
  change(c);
  REQUIRE(name_of(broken(c)) == std::string(name_of(rule)));
  const auto diagnostic = violated(c.model, c.plan, c.batch, c.trainer, c.gpus);
  REQUIRE(diagnostic);
  CHECK(diagnostic->kind == ErrorKind::no_plan);
  CHECK_FALSE(diagnostic->message.empty());
  CHECK_FALSE(diagnostic->hint.empty());
  CHECK_FALSE(diagnostic->where.empty() != (rule == RuleId::degrees));
  CHECK(diagnostic->rule.rfind(name_of(rule), 0) == 0);
  fix(c);
  CHECK(name_of(broken(c)) == std::string("none"));
}

}  // namespace

TEST_CASE("universal rules: degrees, world, batch") {
  breaks(
      RuleId::degrees, legal(), [](Case& c) { c.plan.zero = 4; }, [](Case& c) { c.plan.zero = 3; });
  breaks(
      RuleId::world, legal(), [](Case& c) { c.gpus = 128; },
      [](Case& c) { c.plan.dp_replicate = 2; });
  breaks(
      RuleId::batch, legal(), [](Case& c) { c.plan.micro_batch = 3; },
      [](Case& c) { c.batch.global_sequences = 240; });
}

TEST_CASE("a number of GPUs that no dp makes whole: the degree that is wrong, and what is near") {
  const auto said = [](int tp, int pp, int64_t gpus) {
    Case c = legal();
    c.plan.tp = tp, c.plan.pp = pp, c.plan.dp_shard = 1, c.gpus = gpus;
    const auto d = violated(c.model, c.plan, c.batch, c.trainer, c.gpus);
    REQUIRE(d);
    return d->where + " " + d->value + ": " + d->hint;
  };
  CHECK(said(3, 1, 8) == "--tp 3: tp 2 or 4; or 6 or 9 GPUs");
  CHECK(said(2, 3, 8) == "--pp 3: pp 2 or 4; or 6 or 12 GPUs");
  CHECK(said(16, 1, 8) == "--tp 16: tp 8; or 16 GPUs");
  CHECK(said(2, 8, 8) == "--pp 8: pp 4; or 16 GPUs");
  CHECK(said(3, 5, 8) == "--pp 5: 15 GPUs");
  CHECK(said(2, 2, 8) == "--dp 1: dp 2");
}

TEST_CASE("universal rules: what a degree cuts must be divisible by it") {
  breaks(
      RuleId::heads_by_tp, legal(), [](Case& c) { c.plan.tp = 3, c.gpus = 48; },
      [](Case& c) {
        c.model.heads = 24, c.model.kv_heads = 3, c.model.intermediate = 12288,
        c.batch.sequence = 8190;
      });
  breaks(
      RuleId::heads_by_tp, legal(),
      [](Case& c) {
        c.plan.cp = 16, c.plan.cp_kind = ContextParallel::all_to_all;
        c.gpus = 1024;
      },
      [](Case& c) { c.plan.cp = 8, c.gpus = 512; });
  breaks(
      RuleId::kv_heads_shared, legal(), [](Case& c) { c.model.kv_heads = 6; },
      [](Case& c) { c.model.kv_heads = 2; });
  breaks(
      RuleId::width_by_tp, legal(), [](Case& c) { c.model.intermediate = 14338; },
      [](Case& c) { c.model.intermediate = 14340; });
  breaks(
      RuleId::sequence_by_cp, legal(),
      [](Case& c) { c.plan.cp = 2, c.gpus = 128, c.batch.sequence = 8190; },
      [](Case& c) { c.batch.sequence = 8192; });
  breaks(
      RuleId::sequence_by_tp, legal(), [](Case& c) { c.batch.sequence = 8190; },
      [](Case& c) { c.plan.sequence_parallel = false; });
}

TEST_CASE("universal rules: experts") {
  breaks(
      RuleId::experts_need_moe, legal(), [](Case& c) { c.plan.ep = 2; },
      [](Case& c) { c.plan.ep = 1; });
  breaks(
      RuleId::experts_by_ep, legal_moe(), [](Case& c) { c.plan.ep = 3; },
      [](Case& c) { c.plan.ep = 16; });
  breaks(
      RuleId::expert_width_by_etp, legal_moe(), [](Case& c) { c.plan.etp = 3; },
      [](Case& c) { c.plan.etp = 2; });
  breaks(
      RuleId::expert_ranks, legal_moe(), [](Case& c) { c.plan.ep = 64; },
      [](Case& c) { c.plan.ep = 32; });
  breaks(
      RuleId::width_by_tp, legal_moe(), [](Case& c) { c.model.moe->shared_intermediate = 6; },
      [](Case& c) { c.model.moe->shared_intermediate = 8; });
}

TEST_CASE("universal rules: stages") {
  breaks(
      RuleId::chunks_need_stages, legal(),
      [](Case& c) {
        c.plan.pp = 1, c.plan.vpp = 2, c.gpus = 32;
        c.plan.schedule = ScheduleKind::interleaved;
      },
      [](Case& c) { c.plan.pp = 2, c.gpus = 64; });
  // 32 layers + 2 ends fill at most 34 virtual stages.
  breaks(
      RuleId::stages_by_layers, legal(),
      [](Case& c) { c.plan.vpp = 18, c.plan.schedule = ScheduleKind::interleaved; },
      [](Case& c) { c.plan.vpp = 17; });
  breaks(
      RuleId::layer_split, legal(),
      [](Case& c) {
        c.plan.layer_split = {16, 17};
      },
      [](Case& c) {
        c.plan.layer_split = {15, 17};
      });
  breaks(
      RuleId::schedule_shape, legal(), [](Case& c) { c.plan.vpp = 2; },
      [](Case& c) { c.plan.schedule = ScheduleKind::interleaved; });
}

TEST_CASE("what a trainer does not offer") {
  breaks(
      RuleId::tensor_parallel, legal(), [](Case& c) { c.trainer.tensor_parallel = false; },
      [](Case& c) { c.plan.tp = 1, c.gpus = 16; });
  breaks(
      RuleId::pipeline_parallel, legal(), [](Case& c) { c.trainer.pipeline_parallel = false; },
      [](Case& c) { c.plan.pp = 1, c.gpus = 32; });
  breaks(
      RuleId::context_parallel, legal(),
      [](Case& c) { c.trainer.context_parallel = false, c.plan.cp = 2, c.gpus = 128; },
      [](Case& c) { c.plan.cp = 1, c.gpus = 64; });
  breaks(
      RuleId::context_parallel_kind, legal(),
      [](Case& c) {
        c.trainer.context_parallel_kinds = {"ring"};
        c.plan.cp = 2, c.gpus = 128;
      },
      [](Case& c) { c.plan.cp_kind = ContextParallel::ring; });
  breaks(
      RuleId::expert_parallel, legal_moe(), [](Case& c) { c.trainer.expert_parallel = false; },
      [](Case& c) { c.plan.ep = 1; });
  breaks(
      RuleId::zero_level, legal(), [](Case& c) { c.trainer.max_zero = 0; },
      [](Case& c) { c.plan.zero = 0; });
  breaks(
      RuleId::hybrid_shard, legal(),
      [](Case& c) { c.trainer.hybrid_shard = false, c.plan.dp_replicate = 2, c.gpus = 128; },
      [](Case& c) { c.plan.dp_shard = 16, c.plan.dp_replicate = 1; });
  breaks(
      RuleId::schedule, legal(), [](Case& c) { c.plan.schedule = ScheduleKind::zb_h1; },
      [](Case& c) { c.trainer.schedules = {"zb-h1"}; });
  breaks(
      RuleId::compute_format, legal(), [](Case& c) { c.plan.compute = DType::fp8; },
      [](Case& c) { c.trainer.compute = {DType::fp8}; });
  breaks(
      RuleId::optimizer_offload, legal(),
      [](Case& c) { c.trainer.optimizer_offload = false, c.plan.optimizer_offload = true; },
      [](Case& c) { c.plan.optimizer_offload = false; });
}

TEST_CASE("rules that a trainer names bind it, and only it") {
  const auto named = [](RuleId rule, Case c, const std::function<void(Case&)>& change,
                        const std::function<void(Case&)>& fix) {
    breaks(
        rule, c, [&](Case& x) { x.trainer.rules = {name_of(rule)}, change(x); }, fix);
    change(c);  // without the rule the same plan is legal
    CHECK(name_of(broken(c)) == std::string("none"));
  };
  const auto interleave = [](Case& c) {
    c.plan.pp = 4, c.plan.vpp = 2, c.gpus = 128;
    c.plan.schedule = ScheduleKind::interleaved;
  };
  named(
      RuleId::kv_heads_by_tp, legal(), [](Case& c) { c.plan.tp = 16, c.gpus = 256; },
      [](Case& c) { c.plan.tp = 8, c.gpus = 128; });
  named(
      RuleId::even_layers, legal(), [](Case& c) { c.plan.pp = 3, c.gpus = 96; },
      [](Case& c) {
        c.plan.layer_split = {10, 11, 11};
      });
  named(
      RuleId::micro_batches_by_pp, legal(),
      [&](Case& c) { interleave(c), c.batch.global_sequences = 8 * 6; },
      [](Case& c) { c.batch.global_sequences = 8 * 8; });
  named(
      RuleId::interleaved_group, legal(),
      [&](Case& c) { interleave(c), c.batch.global_sequences = 8 * 6; },
      [](Case& c) { c.plan.schedule_group = 6; });
  named(
      RuleId::zero_1_with_pipeline, legal(), [](Case& c) { c.plan.zero = 2; },
      [](Case& c) { c.plan.zero = 1; });
  named(
      RuleId::fully_sharded_only,
      [] {
        Case c = legal();
        c.plan.zero = 3;
        return c;
      }(),
      [](Case& c) { c.plan.zero = 1; }, [](Case& c) { c.plan.zero = 0; });
  named(
      RuleId::untied_with_pipeline, legal(), [](Case& c) { c.model.tied_embeddings = true; },
      [](Case& c) { c.plan.pp = 1, c.gpus = 32; });
  named(
      RuleId::no_expert_tp, legal_moe(), [](Case& c) { c.plan.etp = 2; },
      [](Case& c) { c.plan.etp = 1; });
  named(
      RuleId::no_sequence_parallel,
      [] {
        Case c = legal();
        c.plan.sequence_parallel = false;
        return c;
      }(),
      [](Case& c) { c.plan.sequence_parallel = true; },
      [](Case& c) { c.plan.sequence_parallel = false; });
  named(
      RuleId::vocabulary_by_tp, legal(), [](Case& c) { c.model.vocabulary = 50257; },
      [](Case& c) { c.model.vocabulary = 50260; });
}

TEST_CASE("names of rules are all different, and every named rule exists for trainer files") {
  std::set<std::string> names;
  for (int i = 0; i < kRules; ++i) names.insert(name_of(static_cast<RuleId>(i)));
  CHECK(names.size() == static_cast<size_t>(kRules));
  CHECK(trainer_rule_names().size() == 12);
  CHECK(trainer_rule_names().front() == "kv-heads-by-tp");
}

TEST_CASE("tp 16 on 8 kv heads: torchtitan refuses with the nearest fix, Megatron-Core shares") {
  const Model model = *find_model("llama3-8b");
  Plan plan;
  plan.tp = 16;
  const Batch batch{8192, 16};
  const auto refused = violated(model, plan, batch, *find_trainer("torchtitan"));
  REQUIRE(refused);
  CHECK(refused->rule == "kv-heads-by-tp (torchtitan)");
  CHECK(refused->where == "--tp");
  CHECK(refused->value == "16");
  CHECK(refused->hint == "tp 8");
  CHECK_FALSE(violated(model, plan, batch, *find_trainer("megatron-core")));
}

TEST_CASE("Llama 3's 405B plan is legal: 126 layers on 16 stages of 8 chunks") {
  const Model model = *find_model("llama3-405b");
  Plan plan;
  plan.tp = 8;
  plan.pp = 16;
  plan.vpp = 8;
  plan.schedule = ScheduleKind::interleaved;
  plan.dp_shard = 64;
  plan.zero = 2;
  CHECK_FALSE(violated(model, plan, Batch{8192, 2048}, *find_trainer("llama3-meta"), 8192));
}
