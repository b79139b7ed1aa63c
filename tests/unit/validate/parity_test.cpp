// SPDX-License-Identifier: Apache-2.0
// Every axis against one rank: losses, gradients, ledger, memory.
#include "tests/unit/validate/parity.hpp"
#include "tests/unit/catch.hpp"

namespace meshplan {
namespace {

using test::Comparison;
using test::fp32_plan;

RunOptions options() {
  RunOptions out;
  out.steps = 3;
  out.initial.deviation = 0.1;
  out.adamw.learning_rate = 1e-3;
  return out;
}

void check(const Plan& plan, const Model& model = test::small_llama(),
           const Trainer& trainer = test::fp32_trainer(), const RunOptions& with = options()) {
  INFO(to_text(plan));
  const Result<Comparison> result = test::compare(model, plan, trainer, with);
  if (!result.ok()) FAIL(render(result.error()));
  INFO(result->note << " worst " << result->worst);
  CHECK(result->loss < 1e-6);
  CHECK(result->norm < 1e-5);
  CHECK(result->gradients < 1e-5);
  CHECK(result->later_losses < 1e-4);
  CHECK(result->ledger);
  CHECK(result->memory);
}

TEST_CASE("one rank trains") {
  RunOptions with = options();
  with.steps = 20;
  const Result<RunReport> report =
      test::run(test::small_llama(), fp32_plan(), test::fp32_trainer(), with);
  REQUIRE(report.ok());
  CHECK(report->steps.front().loss == Approx(std::log(100.0)).epsilon(0.05));
  CHECK(report->steps.back().loss < report->steps.front().loss - 0.1);
  check(fp32_plan());
}

TEST_CASE("tensor parallelism, with and without sequences") {
  for (const int tp : {2, 4}) {
    for (const bool sp : {true, false}) {
      Plan plan = fp32_plan();
      plan.tp = tp;
      plan.sequence_parallel = sp;
      check(plan);
    }
  }
}

TEST_CASE("tensor parallelism beside other operations, whole and in pieces") {
  for (const TpOverlap overlap : {TpOverlap::bulk, TpOverlap::ring}) {
    Trainer trainer = test::fp32_trainer();
    trainer.tp_overlap = overlap;
    for (const int tp : {2, 4}) {
      for (const bool sp : {true, false}) {
        Plan plan = fp32_plan();
        plan.tp = tp;
        plan.sequence_parallel = sp;
        check(plan, test::small_llama(), trainer);
        plan.recompute = Recompute::full;
        check(plan, test::small_llama(), trainer);
      }
    }
    Plan plan = fp32_plan();
    plan.tp = plan.cp = plan.pp = plan.dp_shard = 2;
    plan.cp_kind = ContextParallel::ring;
    plan.zero = 3;
    plan.schedule = ScheduleKind::zb_h1;
    check(plan, test::small_llama(), trainer);
  }
}

TEST_CASE("nothing beside anything") {
  Trainer trainer = test::fp32_trainer();
  trainer.overlap_cp = trainer.overlap_grad_reduce = trainer.overlap_p2p = false;
  trainer.fsdp_prefetch = 0;
  Plan plan = fp32_plan();
  plan.tp = plan.cp = plan.pp = plan.dp_shard = 2;
  for (const int zero : {0, 3}) {
    plan.zero = zero;
    check(plan, test::small_llama(), trainer);
  }
}

TEST_CASE("data parallelism and its sharding") {
  for (const int zero : {0, 1, 2, 3}) {
    for (const int replicate : {1, 2}) {
      Plan plan = fp32_plan();
      plan.dp_shard = 2;
      plan.dp_replicate = replicate;
      plan.zero = zero;
      check(plan);
    }
  }
}

TEST_CASE("sharding over a group of one rank") {
  for (const int zero : {1, 2, 3}) {
    Plan plan = fp32_plan();
    plan.zero = zero;
    check(plan);
    plan.dp_replicate = 2;
    plan.tp = 2;
    check(plan);
  }
}

TEST_CASE("pipeline schedules") {
  for (const ScheduleKind kind :
       {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::zb_h1}) {
    Plan plan = fp32_plan();
    plan.pp = 4;
    plan.schedule = kind;
    check(plan);
  }
  Plan plan = fp32_plan();
  plan.pp = plan.vpp = 2;
  plan.schedule = ScheduleKind::interleaved;
  check(plan);
  plan.schedule = ScheduleKind::zb_v;
  check(plan);
}

TEST_CASE("context parallelism by gathering and by ring") {
  for (const ContextParallel kind : {ContextParallel::all_gather, ContextParallel::ring}) {
    Plan plan = fp32_plan();
    plan.cp = 2;
    plan.cp_kind = kind;
    check(plan);
    plan.cp = 4;
    plan.micro_batch = 2;
    check(plan);
  }
}

TEST_CASE("recompute") {
  for (const bool sequences : {true, false}) {
    Plan plan = fp32_plan();
    plan.tp = 2;
    plan.sequence_parallel = sequences;
    plan.recompute = Recompute::full;
    check(plan);
    plan.recompute_layers = 1;
    check(plan);
    plan.recompute = Recompute::selective;
    plan.recompute_modules = bit(Module::core_attention);
    check(plan);
    plan.recompute_modules = bit(Module::norm) | bit(Module::activation) | bit(Module::mlp_in);
    check(plan);
  }
}

TEST_CASE("experts over ranks") {
  RunOptions with = options();
  with.routing_group = 4;
  for (const int ep : {1, 2, 4}) {
    Plan plan = fp32_plan();
    plan.dp_shard = 4;
    plan.ep = ep;
    for (const int zero : {0, 1, 3}) {
      plan.zero = zero;
      check(plan, test::small_moe(), test::fp32_trainer(), with);
    }
  }
  Plan plan = fp32_plan();
  plan.tp = plan.cp = plan.ep = 2;
  plan.dp_shard = 2;
  check(plan, test::small_moe(), test::fp32_trainer(), with);
  Model latent = test::small_moe();
  latent.moe->latent = 16;
  check(plan, latent, test::fp32_trainer(), with);
  plan.etp = 2;
  check(plan, test::small_moe(), test::fp32_trainer(), with);
  check(plan, latent, test::fp32_trainer(), with);
}

TEST_CASE("tied embeddings") {
  Model model = test::small_llama();
  model.tied_embeddings = true;
  for (const int zero : {0, 1, 2}) {
    Plan plan = fp32_plan();
    plan.dp_shard = plan.tp = 2;
    plan.zero = zero;
    check(plan, model);
    if (zero == 2) continue;
    plan.pp = 2;
    check(plan, model);
  }
}

TEST_CASE("head norms, and reductions after every micro-batch") {
  Model model = test::small_llama();
  model.qk_norm = true;
  Trainer trainer = test::fp32_trainer();
  trainer.reduce_every_micro_batch = true;
  for (const int zero : {0, 1, 2, 3}) {
    Plan plan = fp32_plan();
    plan.tp = plan.dp_shard = plan.dp_replicate = 2;
    plan.zero = zero;
    check(plan, model, trainer);
  }
}

TEST_CASE("products of axes") {
  Plan plan = fp32_plan();
  plan.tp = plan.pp = plan.dp_shard = plan.cp = 2;
  plan.zero = 1;
  check(plan);
  plan.zero = 3;
  plan.vpp = 2;
  plan.schedule = ScheduleKind::interleaved;
  plan.recompute = Recompute::full;
  check(plan);
  plan.reshard_after_forward = false;
  plan.cp_kind = ContextParallel::ring;
  check(plan);
  plan.schedule = ScheduleKind::zb_v;
  plan.recompute = Recompute::none;
  check(plan);
  plan.zero = 2;
  check(plan);
}

TEST_CASE("faults are noticed") {
  const auto error_of = [](const Plan& plan, Fault fault) {
    RunOptions with = options();
    with.fault = fault;
    const Result<Comparison> result =
        test::compare(test::small_llama(), plan, test::fp32_trainer(), with);
    REQUIRE(result.ok());
    return *result;
  };
  Plan plan = fp32_plan();
  plan.cp = 2;
  CHECK(error_of(plan, Fault::rope_offset).loss > 1e-5);
  plan.cp = 1;
  plan.dp_shard = 2;
  const Comparison share = error_of(plan, Fault::no_data_share);
  CHECK(share.loss < 1e-6);  // the loss alone would not tell
  CHECK(share.gradients > 0.9);
  plan.dp_shard = 1;
  plan.tp = 2;
  const Comparison norms = error_of(plan, Fault::no_norm_reduction);
  CHECK(norms.loss < 1e-6);
  CHECK(norms.gradients > 0.1);
  CHECK(norms.worst.find("norm") != std::string::npos);
  CHECK_FALSE(norms.ledger);
}

TEST_CASE("what the executor does not run is refused with its reason") {
  Plan plan = fp32_plan();
  plan.compute = DType::fp16;
  const Result<RunReport> report =
      test::run(test::small_llama(), plan, test::fp32_trainer(), options());
  REQUIRE_FALSE(report.ok());
  CHECK(report.error().message.find("priced only") != std::string::npos);
  CHECK(report.error().kind == ErrorKind::no_plan);
}

}  // namespace
}  // namespace meshplan
